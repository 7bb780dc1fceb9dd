//! The server's loop: it takes what the editor sends, answers requests at once, and shows findings when nothing waits.

use crate::capabilities;
use crate::documents::path_of;
use crate::project::Project;
use crate::requests;
use crate::settings::{Client, Settings};
use crate::shelf::Shelf;
use crossbeam_channel::{Receiver, select, unbounded};
use lsp_server::{Connection, Message, Notification, Request, RequestId};
use lsp_types::{
    DidChangeConfigurationNotification, DidChangeTextDocumentNotification, DidChangeWatchedFilesNotification,
    DidChangeWatchedFilesRegistrationOptions, DidChangeWorkspaceFoldersNotification,
    DidCloseTextDocumentNotification, DidOpenTextDocumentNotification, FileSystemWatcher, GlobPattern,
    InitializeParams, InitializeResult, LogMessageNotification, LogMessageParams, MessageType,
    Notification as _, Pattern, PublishDiagnosticsNotification, Registration, RegistrationParams,
    RegistrationRequest, Request as _, ServerInfo, WorkspaceFolders,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Serves one editor until it says goodbye.
///
/// # Errors
/// A sentence that says why it could not go on.
pub fn serve(connection: &Connection) -> Result<(), String> {
    let broken = |error: lsp_server::ProtocolError| format!("cannot speak with the editor: {error}");
    let (id, params) = connection.initialize_start().map_err(broken)?;
    let params: InitializeParams = serde_json::from_value(params)
        .map_err(|error| format!("cannot read what the editor says of itself: {error}"))?;
    let client = Client::new(&params.capabilities);
    let info = ServerInfo { name: "aent".to_owned(), version: Some(env!("CARGO_PKG_VERSION").to_owned()) };
    let result = InitializeResult { capabilities: capabilities::of_server(client), server_info: Some(info) };
    let result = serde_json::to_value(result).map_err(|error| error.to_string())?;
    connection.initialize_finish(id, result).map_err(broken)?;

    let folders = folders(&params);
    let settings = settings(params.initialization_options.as_ref());
    let first = folders.first().cloned().or_else(|| std::env::current_dir().ok()).unwrap_or_default();
    let shelf = params.initialization_options.as_ref().and_then(|of| of["cache"].as_str());
    let shelf = shelf.map_or_else(Shelf::of_user, |cache| Shelf::new(Path::new(cache)));
    let mut server = Server { connection, project: Project::new(first, shelf, client, settings), asked: 0 };
    if client.watches {
        server.watch();
    }
    let found = search(folders);
    server.serve(&found).map_err(broken)
}

/// The folders of the workspace.
fn folders(params: &InitializeParams) -> Vec<PathBuf> {
    let listed = match &params.workspace_folders_initialize_params.workspace_folders {
        Some(WorkspaceFolders::WorkspaceFolderList(all)) => all.iter().map(|of| path_of(&of.uri)).collect(),
        _ => Vec::new(),
    };
    #[expect(deprecated, reason = "older editors name one folder in this way")]
    let root = params.root_uri.iter().map(path_of);
    if listed.is_empty() { root.collect() } else { listed }
}

/// The settings in what an editor sends, alone or under `aent`.
fn settings(of: Option<&Value>) -> Settings {
    let of = of.map(|of| of.get("aent").unwrap_or(of)).cloned();
    of.and_then(|of| serde_json::from_value(of).ok()).unwrap_or_default()
}

/// What a search of folders brings: files, or a sentence that says why there are none.
type Searched = Result<Vec<PathBuf>, String>;

/// Searches folders for `.aent` files, as `aent check` does, while the editor is served already.
fn search(folders: Vec<PathBuf>) -> Receiver<Searched> {
    let (sender, receiver) = unbounded();
    std::thread::spawn(move || {
        for folder in folders {
            let found = aent_files::below(&folder, "aent");
            let found = found.map_err(|error| format!("cannot look through `{}`: {error}", folder.display()));
            if sender.send(found).is_err() {
                return;
            }
        }
    });
    receiver
}

struct Server<'c> {
    connection: &'c Connection,
    project: Project,
    /// How many requests the editor was sent.
    asked: i32,
}

impl Server<'_> {
    fn serve(&mut self, found: &Receiver<Searched>) -> Result<(), lsp_server::ProtocolError> {
        let mut found = found.clone();
        loop {
            if self.connection.receiver.is_empty() && found.is_empty() {
                self.publish();
            }
            select! {
                recv(self.connection.receiver) -> message => match message {
                    Ok(Message::Request(request)) => {
                        if self.connection.handle_shutdown(&request)? {
                            return Ok(());
                        }
                        let answer = requests::answer(&mut self.project, request);
                        self.send(answer);
                    }
                    Ok(Message::Notification(notification)) => {
                        if let Some(more) = self.notified(notification) {
                            found = more;
                        }
                    }
                    // The answer to a request of ours says nothing.
                    Ok(Message::Response(_)) => {}
                    // The editor is gone.
                    Err(_) => return Ok(()),
                },
                recv(found) -> searched => match searched {
                    Ok(Ok(files)) => self.project.add_files(files),
                    Ok(Err(sentence)) => self.log(sentence),
                    // The search has ended.
                    Err(_) => found = crossbeam_channel::never(),
                },
            }
        }
    }

    /// Takes a notification; gives a new search where there are new folders.
    fn notified(&mut self, notification: Notification) -> Option<Receiver<Searched>> {
        let mut note = Note { notification, is_read: false };
        let project = &mut self.project;
        note.on::<DidOpenTextDocumentNotification>(|params| {
            let of = params.text_document;
            project.open(of.uri, of.version, of.text);
        });
        note.on::<DidChangeTextDocumentNotification>(|params| {
            let of = params.text_document;
            project.change(&of.text_document_identifier.uri, of.version, params.content_changes);
        });
        note.on::<DidCloseTextDocumentNotification>(|params| project.close(&params.text_document.uri));
        note.on::<DidChangeWatchedFilesNotification>(|params| {
            project.files_changed(params.changes.into_iter().map(|of| of.uri));
        });
        note.on::<DidChangeConfigurationNotification>(|params| {
            project.settings = settings(Some(&params.settings));
        });
        let mut more = None;
        note.on::<DidChangeWorkspaceFoldersNotification>(|params| {
            project.remove_folders(params.event.removed.iter().map(|of| path_of(&of.uri)));
            more = Some(search(params.event.added.iter().map(|of| path_of(&of.uri)).collect()));
        });
        more
    }

    /// Sends what has changed in the findings.
    fn publish(&mut self) {
        for params in self.project.news() {
            let method = String::from(PublishDiagnosticsNotification::METHOD);
            self.send(Notification::new(method, params));
        }
    }

    /// Asks the editor to say when `.aent` files change on the disk.
    fn watch(&mut self) {
        let pattern = GlobPattern::Pattern(Pattern::from("**/*.aent"));
        let options = DidChangeWatchedFilesRegistrationOptions {
            watchers: vec![FileSystemWatcher { glob_pattern: pattern, kind: None }],
        };
        let registration = Registration {
            id: "aent-files".to_owned(),
            method: String::from(DidChangeWatchedFilesNotification::METHOD),
            register_options: Some(json!(options)),
        };
        self.asked += 1;
        let params = RegistrationParams { registrations: vec![registration] };
        let id = RequestId::from(self.asked);
        self.send(Request::new(id, String::from(RegistrationRequest::METHOD), params));
    }

    fn log(&self, message: String) {
        let params = LogMessageParams { kind: MessageType::Warning, message };
        self.send(Notification::new(String::from(LogMessageNotification::METHOD), params));
    }

    fn send(&self, message: impl Into<Message>) {
        // An editor that is gone reads nothing; the loop ends where it is read from.
        let _ = self.connection.sender.send(message.into());
    }
}

/// A notification that nobody has read yet.
struct Note {
    notification: Notification,
    is_read: bool,
}

impl Note {
    fn on<N: lsp_types::Notification>(&mut self, with: impl FnOnce(N::Params)) {
        if self.is_read || self.notification.method != String::from(N::METHOD) {
            return;
        }
        self.is_read = true;
        // What cannot be read changes nothing; the editor expects no answer.
        if let Ok(params) = serde_json::from_value(std::mem::take(&mut self.notification.params)) {
            with(params);
        }
    }
}

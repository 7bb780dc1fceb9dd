//! An editor for tests: it speaks with a server in another thread, and remembers what that shows.

use lsp_server::{Connection, Message, Notification, Request, Response};
use lsp_types::{
    Diagnostic, DidChangeTextDocumentNotification, DidCloseTextDocumentNotification,
    DidOpenTextDocumentNotification, PublishDiagnosticsNotification, PublishDiagnosticsParams, Uri,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

/// The longest that a test waits for the server.
const PATIENCE: Duration = Duration::from_mins(1);

/// An editor with a server of its own.
pub(crate) struct Client {
    connection: Connection,
    server: Option<JoinHandle<Result<(), String>>>,
    requests: i32,
    version: i32,
    /// What is shown in each file.
    pub(crate) shown: HashMap<Uri, Vec<Diagnostic>>,
    /// What the server said of itself.
    pub(crate) capabilities: Value,
}

impl Client {
    /// An editor with a folder open.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::with(
            folder,
            &json!({ "textDocument": { "completion": { "completionItem": { "snippetSupport": true } } } }),
        )
    }

    /// An editor that says this of itself.
    pub(crate) fn with(folder: &Path, capabilities: &Value) -> Self {
        let (server, connection) = Connection::memory();
        let thread = std::thread::spawn(move || aent_lsp::serve(&server));
        let mut client = Self {
            connection,
            server: Some(thread),
            requests: 0,
            version: 0,
            shown: HashMap::new(),
            capabilities: Value::Null,
        };
        let cache = std::env::temp_dir().join("aent-lsp-tests");
        let params = json!({
            "capabilities": capabilities,
            "workspaceFolders": [{ "uri": uri(folder), "name": "tests" }],
            "initializationOptions": { "cache": cache },
        });
        client.capabilities = client.request("initialize", params).unwrap()["capabilities"].clone();
        client.notify("initialized", json!({}));
        client
    }

    /// The answer to a request.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.requests += 1;
        let id = self.requests.into();
        self.connection.sender.send(Request::new(id, method.to_owned(), params).into()).unwrap();
        loop {
            match self.connection.receiver.recv_timeout(PATIENCE).unwrap() {
                Message::Response(Response { response_result, .. }) => {
                    return response_result.map_err(|error| error.message);
                }
                other => self.take(other),
            }
        }
    }

    /// Tells the server something.
    pub(crate) fn notify(&self, method: &str, params: Value) {
        self.connection.sender.send(Notification::new(method.to_owned(), params).into()).unwrap();
    }

    /// Opens a file with a text.
    pub(crate) fn open(&mut self, uri: &Uri, text: &str) {
        self.version += 1;
        let document = json!({ "uri": uri, "languageId": "aent", "version": self.version, "text": text });
        self.notify(
            &String::from(DidOpenTextDocumentNotification::METHOD),
            json!({ "textDocument": document }),
        );
    }

    /// Changes a part of a file, or all of it.
    pub(crate) fn change(&mut self, uri: &Uri, change: &Value) {
        self.version += 1;
        let params = json!({
            "textDocument": { "uri": uri, "version": self.version },
            "contentChanges": [change],
        });
        self.notify(&String::from(DidChangeTextDocumentNotification::METHOD), params);
    }

    /// Closes a file.
    pub(crate) fn close(&self, uri: &Uri) {
        let params = json!({ "textDocument": { "uri": uri } });
        self.notify(&String::from(DidCloseTextDocumentNotification::METHOD), params);
    }

    /// Waits until the server has nothing left to show.
    pub(crate) fn settle(&mut self) {
        // The search of folders runs beside; a second question comes after what the first one was followed by.
        for _ in 0..3 {
            while let Ok(message) = self.connection.receiver.recv_timeout(Duration::from_millis(40)) {
                self.take(message);
            }
            let _ = self.request("workspace/symbol", json!({ "query": "no such name" }));
        }
    }

    fn take(&mut self, message: Message) {
        if let Message::Notification(notification) = message
            && notification.method == String::from(PublishDiagnosticsNotification::METHOD)
        {
            let PublishDiagnosticsParams { uri, diagnostics, .. } =
                serde_json::from_value(notification.params).unwrap();
            self.shown.insert(uri, diagnostics);
        }
    }

    /// Says goodbye, and checks that the server ends well.
    pub(crate) fn end(mut self) {
        self.request("shutdown", Value::Null).unwrap();
        self.notify("exit", Value::Null);
        let server = self.server.take().unwrap();
        assert_eq!(server.join().unwrap(), Ok(()));
    }
}

use lsp_types::Notification as _;

/// The name of a path.
pub(crate) fn uri(path: &Path) -> Uri {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Uri(format!("file://{}", path.display()))
}

/// The path of a name.
pub(crate) fn path(uri: &Uri) -> PathBuf {
    PathBuf::from(uri.0.strip_prefix("file://").unwrap())
}

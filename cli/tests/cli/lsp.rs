//! `aent lsp` as an editor starts it: messages over pipes.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running server.
struct Server {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aent"))
            .args(["lsp", "--stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, to, from }
    }

    fn send(&mut self, mut message: Value) {
        message["jsonrpc"] = json!("2.0");
        let text = message.to_string();
        write!(self.to, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.to.flush().unwrap();
    }

    /// The next message for which something holds.
    fn next(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                self.from.read_line(&mut line).unwrap();
                match line.trim_end() {
                    "" => break,
                    line => {
                        if let Some(number) = line.strip_prefix("Content-Length: ") {
                            length = number.parse().unwrap();
                        }
                    }
                }
            }
            let mut text = vec![0; length];
            self.from.read_exact(&mut text).unwrap();
            let message: Value = serde_json::from_slice(&text).unwrap();
            if holds(&message) {
                return message;
            }
        }
    }
}

#[test]
fn an_editor_is_served_over_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("file://{}/loss.aent", folder.path().display());
    let mut server = Server::start();
    let root = format!("file://{}", folder.path().display());
    let options = json!({ "cache": folder.path().join("cache") });
    let params = json!({ "capabilities": {}, "rootUri": root, "initializationOptions": options });
    server.send(json!({ "id": 1, "method": "initialize", "params": params }));
    let answer = server.next(|of| of["id"] == 1);
    assert_eq!(answer["result"]["serverInfo"]["name"], "aent");
    server.send(json!({ "method": "initialized", "params": {} }));

    let document = json!({
        "uri": uri, "languageId": "aent", "version": 1, "text": "loss = tokn_mean(log_prob)\n",
    });
    server.send(json!({ "method": "textDocument/didOpen", "params": { "textDocument": document } }));
    let shown = server.next(|of| of["method"] == "textDocument/publishDiagnostics");
    let found = &shown["params"]["diagnostics"][0];
    assert_eq!(found["code"], "unknown-name");
    let place = json!({ "start": { "line": 0, "character": 7 }, "end": { "line": 0, "character": 16 } });
    assert_eq!(found["range"], place);

    server.send(json!({ "id": 2, "method": "shutdown" }));
    server.next(|of| of["id"] == 2);
    server.send(json!({ "method": "exit" }));
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn an_editor_that_is_gone_ends_the_server() {
    let mut server = Server::start();
    let params = json!({ "capabilities": {} });
    server.send(json!({ "id": 1, "method": "initialize", "params": params }));
    server.next(|of| of["id"] == 1);
    server.send(json!({ "method": "initialized", "params": {} }));
    let Server { mut child, to, from } = server;
    drop((to, from));
    assert!(child.wait().unwrap().success());
}

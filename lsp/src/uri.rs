//! Names of files as editors write them: `file:///folder/a%20b.aent`.

use lsp_types::Uri;
use std::path::{Path, PathBuf};

/// The name of an absolute path; none for a path that no such name can have.
pub(crate) fn of_path(path: &Path) -> Option<Uri> {
    let bytes = bytes(path)?;
    // On Windows a drive follows the slash, and a server the first two.
    let start = match bytes.as_slice() {
        [b'/', b'/', ..] => "file:",
        [b'/', ..] => "file://",
        _ if path.is_absolute() => "file:///",
        _ => return None,
    };
    Some(Uri(bytes.iter().fold(start.to_owned(), |out, byte| out + &encoded(*byte))))
}

/// The path that a name means; none if it means no file of this machine.
pub(crate) fn to_path(uri: &Uri) -> Option<PathBuf> {
    let (scheme, rest) = uri.0.split_once("://")?;
    let slash = rest.find('/')?;
    let (host, path) = rest.split_at(slash);
    if !scheme.eq_ignore_ascii_case("file") {
        return None;
    }
    let bytes = decoded(path)?;
    match host {
        "" | "localhost" => of_bytes(bytes),
        host if cfg!(windows) => of_bytes([b"//", host.as_bytes(), &bytes].concat()),
        _ => None,
    }
}

/// A byte as it stands in a name.
fn encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(out)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere a path may be no text")]
fn bytes(path: &Path) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    Some(path.as_os_str().as_bytes().to_vec())
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere a path may be no text")]
fn of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn bytes(path: &Path) -> Option<Vec<u8>> {
    let text = path.to_str()?;
    // What `canonicalize` puts before a long path belongs into no name.
    Some(text.strip_prefix(r"\\?\").unwrap_or(text).replace('\\', "/").into_bytes())
}

#[cfg(not(unix))]
fn of_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    let text = String::from_utf8(bytes).ok()?;
    // `/C:/folder` begins with its drive.
    let text = text.strip_prefix('/').filter(|rest| rest.as_bytes().get(1) == Some(&b':')).unwrap_or(&text);
    Some(PathBuf::from(text.replace('/', r"\")))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_those_that_editors_write() {
        for (path, name) in [
            ("/a/b.aent", "file:///a/b.aent"),
            ("/a b/ä#1?.aent", "file:///a%20b/%C3%A4%231%3F.aent"),
            ("/100%", "file:///100%25"),
        ] {
            assert_eq!(of_path(Path::new(path)), Some(Uri(name.to_owned())));
            assert_eq!(to_path(&Uri(name.to_owned())), Some(PathBuf::from(path)));
        }
        // Editors differ in what they write as it is.
        assert_eq!(to_path(&Uri("file:///a:b/(c)+%7e".to_owned())), Some(PathBuf::from("/a:b/(c)+~")));
        assert_eq!(to_path(&Uri("file://localhost/a".to_owned())), Some(PathBuf::from("/a")));
    }

    #[test]
    fn what_is_no_file_of_this_machine_has_no_path() {
        for name in
            ["untitled:Untitled-1", "https://example.com/a", "file://elsewhere/a", "file:///a%2", "nonsense"]
        {
            assert_eq!(to_path(&Uri(name.to_owned())), None, "{name}");
        }
        assert_eq!(of_path(Path::new("a.aent")), None);
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_path(name in "/[^\u{0}/]\\PC*") {
            let path = PathBuf::from(name);
            prop_assert_eq!(to_path(&of_path(&path).unwrap()), Some(path));
        }
    }
}

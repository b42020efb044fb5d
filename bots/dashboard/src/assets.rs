//! The page and its parts, as `build.rs` made them, in this executable.

/// One file of the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asset {
    pub(crate) path: &'static str,
    pub(crate) bytes: &'static [u8],
    /// The same in gzip, where that is smaller.
    pub(crate) gzip: Option<&'static [u8]>,
    /// Changes with the content.
    pub(crate) tag: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Whether the page was built; else one says what is missing.
pub fn has_page() -> bool {
    HAS_PAGE
}

/// The file of this path, without a leading slash.
pub(crate) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// The media type that a file's name says.
pub(crate) fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

//! What stands in a message for text from outside.

use std::path::Path;

use mcpmqtt_protocol::topic::{Printable, Shown, ShownPath, disturbs};

#[test]
fn what_is_not_seen_or_turns_the_line_is_escaped() {
    // One or both ends of each kind, by category and property.
    for (kind, chars) in [
        (
            "Cc",
            "\0\u{1}\t\n\r\u{1b}\u{1f}\u{7f}\u{80}\u{85}\u{9b}\u{9f}",
        ),
        (
            "Zs",
            "\u{a0}\u{1680}\u{2000}\u{200a}\u{202f}\u{205f}\u{3000}",
        ),
        ("Zl, Zp", "\u{2028}\u{2029}"),
        (
            "bidirectional",
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}",
        ),
        (
            "Cf",
            "\u{ad}\u{600}\u{605}\u{6dd}\u{70f}\u{8e2}\u{180e}\u{200b}\u{2060}\u{206f}\u{feff}\u{fff9}\u{fffb}\u{110bd}\u{13430}\u{1d173}\u{e0001}\u{e007f}",
        ),
        (
            "ignorable",
            "\u{34f}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180b}\u{3164}\u{fe00}\u{fe0f}\u{ffa0}\u{fff0}\u{1bca0}\u{e0100}\u{e0fff}",
        ),
        (
            "noncharacter",
            "\u{fdd0}\u{fdef}\u{fffe}\u{ffff}\u{1fffe}\u{7ffff}\u{10ffff}",
        ),
        ("private", "\u{e000}\u{f8ff}\u{f0000}\u{10fffd}"),
        ("blank", "\u{2800}\u{16fe4}\u{1d159}"),
    ] {
        for c in chars.chars() {
            assert!(disturbs(c), "{kind}: {}", c.escape_unicode());
            for shown in [
                Shown(&format!("a{c}b")).to_string(),
                ShownPath(Path::new(&format!("a{c}b"))).to_string(),
            ] {
                assert_eq!(shown, format!("`a{}b`", c.escape_default()), "{kind}");
            }
        }
    }
    for c in
        "azAZ09 ~!\u{a1}é°ß\u{2010}“”€…日本語한글עבריתالعربية\u{3001}😀\u{fffc}\u{fffd}".chars()
    {
        assert!(!disturbs(c), "{}", c.escape_unicode());
        assert_eq!(Shown(&c.to_string()).to_string(), format!("`{c}`"));
    }
}

#[test]
fn a_quotation_ends_where_it_ends_and_reads_one_way() {
    assert_eq!(
        Shown("a` is writable; `b").to_string(),
        r"`a\` is writable; \`b`"
    );
    assert_eq!(Shown(r"\u{202e}").to_string(), r"`\\u{202e}`");
    assert_ne!(
        Shown("\u{202e}").to_string(),
        Shown(r"\u{202e}").to_string()
    );
}

#[test]
fn a_path_is_shown_whole_and_a_topic_cut() {
    let long = "x".repeat(3000);
    assert_eq!(ShownPath(Path::new(&long)).to_string().len(), 3002);
    assert!(Shown(&long).to_string().ends_with("…` (3000 bytes)"));
}

#[test]
fn of_a_whole_message_only_the_ends_of_lines_stay() {
    let text = Printable("a `b`\n\u{1b}[2J\u{202e}é\\\r\n").to_string();
    assert_eq!(text, "a `b`\n\\u{1b}[2J\\u{202e}é\\\\r\n");
}

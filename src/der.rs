//! Consecutive elements in the distinguished encoding rules (X.690 §10), in which certificates are written.
//!
//! Promises: any bytes yield elements or `None`; no element lies outside of the bytes.

/// The elements that are left.
pub(crate) struct Der<'a>(pub(crate) &'a [u8]);

impl<'a> Der<'a> {
    /// Takes the content of the next element when it has this tag; otherwise leaves the element.
    pub(crate) fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next(tag).map(|(_, content)| content)
    }

    /// Takes the next element with its tag and length.
    pub(crate) fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next(tag).map(|(element, _)| element)
    }

    fn next(&mut self, tag: u8) -> Option<(&'a [u8], &'a [u8])> {
        let (found, rest) = self.0.split_first()?;
        if *found != tag {
            return None;
        }
        let (first, rest) = rest.split_first()?;
        let (length, content) = match first {
            0..=0x7f => (usize::from(*first), rest),
            // 16 MiB is more than any certificate has.
            0x81..=0x83 => {
                let (bytes, content) = rest.split_at_checked(usize::from(first - 0x80))?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, content)
            }
            _ => return None,
        };
        let (content, after) = content.split_at_checked(length)?;
        let element = self.0.get(..self.0.len() - after.len())?;
        self.0 = after;
        Some((element, content))
    }
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
/// The tag `[0] EXPLICIT` of a certificate's version.
pub(crate) const VERSION: u8 = 0xa0;

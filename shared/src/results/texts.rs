//! Many short texts in few allocations.

/// The size of a block.
const BLOCK_BYTES: usize = 64 * 1024;

/// A longer text gets a block of its own, so that at most so much of another remains empty.
const LONG_TEXT: usize = BLOCK_BYTES / 8;

/// Texts, in blocks that are never moved, so that growing takes no extra memory.
#[derive(Debug, Default)]
pub(super) struct Texts {
    blocks: Vec<String>,
    /// The one that is being filled.
    current: usize,
}

/// Where a text is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    block: u32,
    start: u32,
    len: u32,
}

impl Span {
    pub(super) fn len(self) -> usize {
        self.len as usize
    }
}

impl Texts {
    /// Keeps a text of less than 4 GiB.
    pub(super) fn add(&mut self, text: &str) -> Span {
        if text.is_empty() {
            return Span::default();
        }
        let has_room = |block: &String| block.capacity() - block.len() >= text.len();
        let number = if text.len() > LONG_TEXT {
            self.blocks.push(String::with_capacity(text.len()));
            self.blocks.len() - 1
        } else {
            if !self.blocks.get(self.current).is_some_and(has_room) {
                self.current = self.blocks.len();
                self.blocks.push(String::with_capacity(BLOCK_BYTES));
            }
            self.current
        };
        let block = &mut self.blocks[number];
        let span = Span { block: number as u32, start: block.len() as u32, len: text.len() as u32 };
        block.push_str(text);
        span
    }

    /// A text that was kept.
    pub(super) fn get(&self, span: Span) -> &str {
        let block = self.blocks.get(span.block as usize).map_or("", String::as_str);
        let start = span.start as usize;
        block.get(start..start + span.len()).unwrap_or_default()
    }
}

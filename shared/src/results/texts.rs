//! Many short texts in few allocations.

/// The size of a block.
const BLOCK_BYTES: usize = 8 * 1024;

/// How many empty blocks are kept.
const EMPTY_BLOCKS: usize = 8;

/// A longer text gets a block of its own, so that at most so much of another remains empty.
const LONG_TEXT: usize = BLOCK_BYTES / 8;

/// Texts, in blocks that are never moved, so that growing takes no extra memory. A block is filled
/// again once all its texts are released.
#[derive(Debug, Default)]
pub(super) struct Texts {
    blocks: Vec<Block>,
    /// The one that is being filled.
    current: usize,
    /// Blocks whose last text was released. It can be read until the next text is added.
    released: Vec<usize>,
    empty: Vec<usize>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Block {
    text: String,
    /// How many texts of it are kept.
    kept: usize,
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
    /// The memory of all blocks.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a text of less than 4 GiB.
    pub(super) fn add(&mut self, text: &str) -> Span {
        if text.is_empty() {
            return Span::default();
        }
        if !self.released.is_empty() {
            self.empty_released();
        }
        let has_room = |block: &Block| block.text.capacity() - block.text.len() >= text.len();
        let number = if text.len() > LONG_TEXT {
            self.empty_block(text.len())
        } else {
            if !self.blocks.get(self.current).is_some_and(has_room) {
                self.current = self.empty_block(BLOCK_BYTES);
            }
            self.current
        };
        let block = &mut self.blocks[number];
        let start = block.text.len();
        block.text.push_str(text);
        block.kept += 1;
        Span { block: number as u32, start: start as u32, len: text.len() as u32 }
    }

    fn empty_block(&mut self, capacity: usize) -> usize {
        let number = self.empty.pop().unwrap_or_else(|| {
            self.blocks.push(Block::default());
            self.blocks.len() - 1
        });
        let text = &mut self.blocks[number].text;
        if text.capacity() < capacity {
            self.bytes += capacity - text.capacity();
            *text = String::with_capacity(capacity);
        }
        number
    }

    fn empty_released(&mut self) {
        for number in self.released.drain(..) {
            let text = &mut self.blocks[number].text;
            text.clear();
            if number == self.current {
                continue;
            }
            if text.capacity() > BLOCK_BYTES || self.empty.len() >= EMPTY_BLOCKS {
                self.bytes -= text.capacity();
                *text = String::new();
            }
            self.empty.push(number);
        }
    }

    /// A text that was kept.
    pub(super) fn get(&self, span: Span) -> &str {
        let block = self.blocks.get(span.block as usize).map_or("", |block| &block.text);
        let start = span.start as usize;
        block.get(start..start + span.len()).unwrap_or_default()
    }

    /// A text is needed only until the next one is added.
    pub(super) fn release(&mut self, span: Span) {
        let number = span.block as usize;
        let Some(block) = self.blocks.get_mut(number).filter(|_| span.len > 0) else { return };
        block.kept -= 1;
        if block.kept == 0 {
            self.released.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_released_one_after_the_other_stay_in_one_block() {
        let mut texts = Texts::default();
        let text = "x".repeat(LONG_TEXT);
        for _ in 0..1_000 {
            let span = texts.add(&text);
            texts.release(span);
            assert_eq!(texts.get(span), text, "until the next one is added");
        }
        assert_eq!((texts.blocks.len(), texts.bytes()), (1, BLOCK_BYTES));
    }

    #[test]
    fn what_many_texts_took_is_free_once_they_are_released() {
        let mut texts = Texts::default();
        for _ in 0..3 {
            let spans: Vec<Span> = (0..1_000).map(|_| texts.add(&"x".repeat(LONG_TEXT))).collect();
            assert!(texts.bytes() >= 1_000 * LONG_TEXT);
            spans.into_iter().for_each(|span| texts.release(span));
            let last = texts.add("x");
            assert!(texts.bytes() <= (EMPTY_BLOCKS + 1) * BLOCK_BYTES, "{}", texts.bytes());
            texts.release(last);
            assert!(texts.blocks.len() <= 1_000 * LONG_TEXT / BLOCK_BYTES + 1);
        }
    }
}

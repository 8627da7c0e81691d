//! What goes wrong between a device and a stack: frames lost, frames held back behind the next batch.

use engine::{FrameBatch, Frames};

/// Loss and reordering, decided by a seed.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// Frames lost out of a thousand.
    pub loss: u32,
    /// Frames held back out of a thousand.
    pub reorder: u32,
    /// What decides which.
    pub seed: u64,
    ways: [Passage; 2],
}

/// Which way frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the device.
    In,
    /// Toward the device.
    Out,
}

#[derive(Clone, Debug, Default)]
struct Passage {
    held: FrameBatch,
    through: FrameBatch,
}

impl Weather {
    /// Loss and reordering in thousandths.
    #[must_use]
    pub fn new(loss: u32, reorder: u32, seed: u64) -> Self {
        Self {
            loss,
            reorder,
            seed,
            ..Self::default()
        }
    }

    fn strikes(&mut self, of_thousand: u32) -> bool {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.seed >> 33) % 1000 < u64::from(of_thousand)
    }

    /// Frames set out; those that arrive now, in their order.
    pub fn pass<'a>(&mut self, way: Way, frames: impl IntoIterator<Item = &'a [u8]>) -> Frames<'_> {
        let mut passage = core::mem::take(&mut self.ways[way as usize]);
        let late = passage.held.len();
        for frame in frames {
            if self.strikes(self.loss) {
                continue;
            }
            if self.strikes(self.reorder) {
                passage.held.push(frame);
            } else {
                passage.through.push(frame);
            }
        }
        for frame in passage.held.take(late) {
            passage.through.push(frame);
        }
        self.ways[way as usize] = passage;
        self.ways[way as usize].through.take(usize::MAX)
    }
}

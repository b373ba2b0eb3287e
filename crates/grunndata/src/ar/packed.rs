//! Texts that say mostly the same, kept small: compressed against the first ones of their kind.
//!
//! An answer about a party is nearly all element names and words of code lists. Against a dictionary of a few earlier answers
//! a text of 14 kB is some hundred bytes, and back in some microseconds: so the answers about every party of a country
//! have room in memory. The dictionary is made of the first texts that are kept; nothing of it outlives the process.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use zstd::bulk::{Compressor, Decompressor};

/// Level of compression.
const LEVEL: i32 = 3;
/// A shorter text stays as it is.
const SHORTEST: usize = 512;
/// Bytes that the dictionary has in all, and of one text at most.
const DICTIONARY: usize = 64 << 10;
const OF_ONE: usize = 8 << 10;
/// Contexts kept for the next one who needs one.
const MAX_IDLE: usize = 8;

/// A text as it is kept.
pub(super) enum Text {
    Plain(Box<str>),
    Packed {
        bytes: Box<[u8]>,
        /// Bytes of the text.
        length: usize,
        packing: Arc<Packing>,
    },
}

impl Text {
    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Plain(text) => text.len(),
            Self::Packed { bytes, .. } => bytes.len(),
        }
    }

    /// The text; `None` when it cannot be read, and must be written again.
    pub(super) fn read(&self) -> Option<String> {
        match self {
            Self::Plain(text) => Some(text.as_ref().to_owned()),
            Self::Packed {
                bytes,
                length,
                packing,
            } => packing.unpack(bytes, *length),
        }
    }
}

/// A dictionary with what works by it.
pub(super) struct Packing {
    dictionary: Vec<u8>,
    compressors: Mutex<Vec<Compressor<'static>>>,
    decompressors: Mutex<Vec<Decompressor<'static>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_back<T>(idle: &Mutex<Vec<T>>, one: T) {
    let mut idle = locked(idle);
    if idle.len() < MAX_IDLE {
        idle.push(one);
    }
}

impl Packing {
    fn new(dictionary: Vec<u8>) -> Self {
        Self {
            dictionary,
            compressors: Mutex::default(),
            decompressors: Mutex::default(),
        }
    }

    fn pack(&self, text: &str) -> Option<Box<[u8]>> {
        let idle = locked(&self.compressors).pop();
        let fresh = || Compressor::with_dictionary(LEVEL, &self.dictionary).ok();
        let mut compressor = idle.or_else(fresh)?;
        let packed = compressor.compress(text.as_bytes()).ok();
        give_back(&self.compressors, compressor);
        packed
            .filter(|bytes| bytes.len() < text.len())
            .map(Vec::into_boxed_slice)
    }

    fn unpack(&self, bytes: &[u8], length: usize) -> Option<String> {
        let idle = locked(&self.decompressors).pop();
        let fresh = || Decompressor::with_dictionary(&self.dictionary).ok();
        let mut decompressor = idle.or_else(fresh)?;
        let text = decompressor.decompress(bytes, length).ok();
        give_back(&self.decompressors, decompressor);
        String::from_utf8(text?).ok()
    }
}

/// Makes texts small, once it has seen enough of them.
#[derive(Default)]
pub(super) struct Packer {
    sample: Mutex<Vec<u8>>,
    packing: OnceLock<Arc<Packing>>,
}

impl Packer {
    pub(super) fn keep(&self, text: &str) -> Text {
        let plain = || Text::Plain(text.into());
        if text.len() < SHORTEST {
            return plain();
        }
        let Some(packing) = self.packing.get() else {
            self.sample(text);
            return plain();
        };
        match packing.pack(text) {
            Some(bytes) => Text::Packed {
                bytes,
                length: text.len(),
                packing: Arc::clone(packing),
            },
            None => plain(),
        }
    }

    fn sample(&self, text: &str) {
        let mut sample = locked(&self.sample);
        if self.packing.get().is_some() {
            return;
        }
        let beginning = text.as_bytes().get(..OF_ONE);
        sample.extend_from_slice(beginning.unwrap_or(text.as_bytes()));
        if sample.len() >= DICTIONARY {
            let packing = Packing::new(std::mem::take(&mut sample));
            let _ = self.packing.set(Arc::new(packing));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn party(number: usize) -> String {
        let address = format!(
            "<b:ElectronicAddress><b:Address>localhost/Helsenav/{number}_async</b:Address><b:Inherited>false</b:Inherited>\
             <b:Type><b:Active>true</b:Active><b:CodeText>Asynkron AMQP kø</b:CodeText><b:OID>9044</b:OID></b:Type></b:ElectronicAddress>"
        );
        format!(
            "<Party><HerId>{number}</HerId>{}</Party>",
            address.repeat(10)
        )
    }

    #[test]
    fn what_says_the_same_is_small_once_enough_was_seen() {
        let packer = Packer::default();
        let kept: Vec<Text> = (0..100).map(|n| packer.keep(&party(n))).collect();
        for (number, text) in kept.iter().enumerate() {
            assert_eq!(text.read().unwrap(), party(number));
        }
        assert_eq!(kept[0].size(), party(0).len());
        assert!(
            kept[99].size() * 10 < party(99).len(),
            "{}",
            kept[99].size()
        );
        assert!(packer.packing.get().unwrap().dictionary.len() < DICTIONARY + OF_ONE);
    }

    #[test]
    fn a_short_text_stays_as_it_is() {
        let packer = Packer::default();
        for number in 0..100 {
            packer.keep(&party(number));
        }
        assert!(matches!(
            packer.keep("W/\"0123456789abcdef\""),
            Text::Plain(_)
        ));
    }

    #[test]
    fn several_threads_share_what_works() {
        let packer = Packer::default();
        for number in 0..100 {
            packer.keep(&party(number));
        }
        std::thread::scope(|scope| {
            for thread in 0..12 {
                let packer = &packer;
                scope.spawn(move || {
                    for number in 0..50 {
                        let text = party(thread * 1_000 + number);
                        assert_eq!(packer.keep(&text).read().unwrap(), text);
                    }
                });
            }
        });
        let packing = packer.packing.get().unwrap();
        assert!(locked(&packing.decompressors).len() <= MAX_IDLE);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(texts in prop::collection::vec("\\PC{0,900}", 1..60)) {
            let packer = Packer::default();
            for number in 0..100 {
                packer.keep(&party(number));
            }
            for text in texts {
                let kept = packer.keep(&text);
                prop_assert!(kept.size() <= text.len());
                prop_assert_eq!(kept.read().unwrap(), text);
            }
        }
    }
}

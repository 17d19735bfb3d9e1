//! A TOML table of a profile's file, read key by key. Keys that are not read are unknown and refused.

use super::error::{Place, ProfileError, Source, did_you_mean};
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and its location in the file.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub value: T,
    pub place: Place,
}

impl<T> Located<T> {
    pub fn refuse(&self, message: impl Into<String>, label: impl Into<String>, help: Option<String>) -> ProfileError {
        self.place.error(message, label, help)
    }
}

pub(super) type Item<'i> = Located<DeValue<'i>>;

#[derive(Debug)]
pub(super) struct Section<'i> {
    pub source: Arc<Source>,
    /// `boot.` in `[boot]`, empty at the top level.
    prefix: String,
    table: DeTable<'i>,
    asked: Vec<&'static str>,
}

impl<'i> Section<'i> {
    /// Parses a whole file.
    pub fn parse(source: &Arc<Source>, text: &'i str) -> Result<Self, ProfileError> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self::new(source, String::new(), table.into_inner())),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let place = Place { source: Arc::clone(source), span };
                Err(place.error("the file is not TOML", error.message().to_owned(), None))
            }
        }
    }

    pub fn new(source: &Arc<Source>, prefix: String, table: DeTable<'i>) -> Self {
        Self { source: Arc::clone(source), prefix, table, asked: Vec::new() }
    }

    fn place(&self, span: Range<usize>) -> Place {
        Place { source: Arc::clone(&self.source), span }
    }

    /// A value of any type.
    pub fn item(&mut self, key: &'static str) -> Option<Item<'i>> {
        self.asked.push(key);
        self.take(key)
    }

    /// A value whose key is not one of those there are.
    pub fn take(&mut self, key: &str) -> Option<Item<'i>> {
        let value = self.table.remove(key)?;
        let place = self.place(value.span());
        Some(Located { value: value.into_inner(), place })
    }

    fn named(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    pub fn string(&mut self, key: &'static str) -> Result<Option<Located<String>>, ProfileError> {
        let name = self.named(key);
        self.item(key).map(|item| string(item, &name)).transpose()
    }

    /// A string, parsed by `parse`, whose error says what is expected.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<Option<Located<T>>, ProfileError> {
        let name = self.named(key);
        self.string(key)?.map(|text| parsed(text, &name, parse)).transpose()
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<Located<T>>, ProfileError> {
        let name = self.named(key);
        self.string(key)?.map(|text| choice(text, &name, words)).transpose()
    }

    pub fn boolean(&mut self, key: &'static str) -> Result<Option<Located<bool>>, ProfileError> {
        let name = self.named(key);
        self.item(key)
            .map(|item| match item.value {
                DeValue::Boolean(value) => Ok(Located { value, place: item.place }),
                _ => Err(wrong_type(&item, &name, "true or false")),
            })
            .transpose()
    }

    pub fn integer(&mut self, key: &'static str, least: i64, most: i64) -> Result<Option<Located<i64>>, ProfileError> {
        let name = self.named(key);
        self.item(key).map(|item| integer(item, &name, least, most)).transpose()
    }

    /// An integer, or a string such as `256K`.
    pub fn size(&mut self, key: &'static str) -> Result<Option<Located<u32>>, ProfileError> {
        const EXPECTED: &str = "a power of two from 128K to 1M";
        let name = self.named(key);
        let Some(item) = self.item(key) else { return Ok(None) };
        let bytes = match &item.value {
            DeValue::Integer(digits) => u32::from_str_radix(digits.as_str(), digits.radix()).ok(),
            DeValue::String(text) => match text.split_at_checked(text.len().saturating_sub(1)) {
                Some((digits, "K")) => digits.parse::<u32>().ok().and_then(|count| count.checked_mul(1 << 10)),
                Some((digits, "M")) => digits.parse::<u32>().ok().and_then(|count| count.checked_mul(1 << 20)),
                _ => None,
            },
            _ => return Err(wrong_type(&item, &name, "a number of bytes or a string such as \"256K\"")),
        };
        match bytes.filter(|bytes| bytes.is_power_of_two() && (1 << 17..=1 << 20).contains(bytes)) {
            Some(value) => Ok(Some(Located { value, place: item.place })),
            None => Err(item.refuse(format!("{name} is not {EXPECTED}"), format!("expected {EXPECTED}"), None)),
        }
    }

    /// A list of strings.
    pub fn strings(&mut self, key: &'static str) -> Result<Option<Vec<Located<String>>>, ProfileError> {
        let name = self.named(key);
        match self.items(key)? {
            Some(items) => items.into_iter().map(|item| string(item, &name)).collect::<Result<_, _>>().map(Some),
            None => Ok(None),
        }
    }

    /// A list of strings, each parsed by `parse`.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Result<Option<Vec<Located<T>>>, ProfileError> {
        let name = self.named(key);
        match self.strings(key)? {
            Some(texts) => {
                texts.into_iter().map(|text| parsed(text, &name, &parse)).collect::<Result<_, _>>().map(Some)
            }
            None => Ok(None),
        }
    }

    /// A list of values of any type.
    pub fn items(&mut self, key: &'static str) -> Result<Option<Vec<Item<'i>>>, ProfileError> {
        let name = self.named(key);
        let Some(item) = self.item(key) else { return Ok(None) };
        match item.value {
            DeValue::Array(values) => Ok(Some(values.into_iter().map(|value| locate(&self.source, value)).collect())),
            _ => Err(wrong_type(&item, &name, "a list")),
        }
    }

    /// A table of known keys. It is empty if the file does not have it.
    pub fn section(&mut self, key: &'static str) -> Result<Section<'i>, ProfileError> {
        let name = self.named(key);
        match self.item(key) {
            None => Ok(Section::new(&self.source, format!("{name}."), DeTable::new())),
            Some(item) => item_section(item, &name),
        }
    }

    /// A table with arbitrary keys: each key with its value.
    pub fn entries(&mut self, key: &'static str) -> Result<Vec<(Located<String>, Item<'i>)>, ProfileError> {
        let section = self.section(key)?;
        let source = section.source;
        Ok(section
            .table
            .into_iter()
            .map(|(key, value)| {
                let place = Place { source: Arc::clone(&source), span: key.span() };
                (Located { value: key.into_inner().into_owned(), place }, locate(&source, value))
            })
            .collect())
    }

    /// Refuses the first key that was not read.
    pub fn finish(self) -> Result<(), ProfileError> {
        // In the file's order, not in alphabetical order.
        let Some(key) = self.table.keys().min_by_key(|key| key.span().start) else { return Ok(()) };
        let name = key.get_ref();
        let help = did_you_mean(name, self.asked.iter().copied())
            .unwrap_or_else(|| format!("the keys here are {}", self.asked.join(", ")));
        Err(self.place(key.span()).error(format!("unknown key {:?}", self.named(name)), "not a key", Some(help)))
    }
}

pub(super) fn locate<'i>(source: &Arc<Source>, value: Spanned<DeValue<'i>>) -> Item<'i> {
    let place = Place { source: Arc::clone(source), span: value.span() };
    Located { value: value.into_inner(), place }
}

/// The table in `item`, whose key is `name`.
pub(super) fn item_section<'i>(item: Item<'i>, name: &str) -> Result<Section<'i>, ProfileError> {
    match item.value {
        DeValue::Table(table) => Ok(Section::new(&item.place.source, format!("{name}."), table)),
        _ => Err(wrong_type(&item, name, "a table")),
    }
}

pub(super) fn string(item: Item<'_>, name: &str) -> Result<Located<String>, ProfileError> {
    match item.value {
        DeValue::String(text) => Ok(Located { value: text.into_owned(), place: item.place }),
        _ => Err(wrong_type(&item, name, "a string")),
    }
}

fn parsed<T>(
    text: Located<String>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Result<Located<T>, ProfileError> {
    match parse(&text.value) {
        Ok(value) => Ok(Located { value, place: text.place }),
        Err(expected) => {
            Err(text.refuse(format!("{name}: found {:?}", text.value), format!("expected {expected}"), None))
        }
    }
}

pub(super) fn choice<T: Copy>(
    text: Located<String>,
    name: &str,
    words: &[(&str, T)],
) -> Result<Located<T>, ProfileError> {
    match words.iter().find(|(word, _)| *word == text.value) {
        Some((_, value)) => Ok(Located { value: *value, place: text.place }),
        None => {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let label = format!("expected {}", known.join(", "));
            Err(text.refuse(format!("{name}: found {:?}", text.value), label, did_you_mean(&text.value, known)))
        }
    }
}

fn integer(item: Item<'_>, name: &str, least: i64, most: i64) -> Result<Located<i64>, ProfileError> {
    let DeValue::Integer(digits) = &item.value else { return Err(wrong_type(&item, name, "an integer")) };
    match i64::from_str_radix(digits.as_str(), digits.radix()).ok().filter(|value| (least..=most).contains(value)) {
        Some(value) => Ok(Located { value, place: item.place }),
        None => {
            let label = format!("expected an integer from {least} to {most}");
            Err(item.refuse(format!("{name}: found {digits}"), label, None))
        }
    }
}

pub(super) fn wrong_type(item: &Item<'_>, name: &str, expected: &str) -> ProfileError {
    let found = match &item.value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    item.refuse(format!("{name}: found {found}, expected {expected}"), found, None)
}

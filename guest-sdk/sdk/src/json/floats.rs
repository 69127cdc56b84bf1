//! Finds the first number of a value that JSON cannot represent, and the JSON pointer to it.

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

use super::WriteError;

/// Checks that each number of a value is finite.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), WriteError> {
    value.serialize(Check { path: &mut Vec::new() })
}

/// A serializer that writes nothing.
struct Check<'a> {
    /// The members and indexes that lead to the current value.
    path: &'a mut Vec<String>,
}

impl<'a> Check<'a> {
    fn number(&self, number: f64) -> Result<(), WriteError> {
        if number.is_finite() {
            return Ok(());
        }
        let escaped = |name: &String| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let what = match self.path.iter().map(escaped).collect::<String>() {
            pointer if pointer.is_empty() => "the value itself".to_owned(),
            pointer => format!("`{pointer}`"),
        };
        Err(WriteError(format!("{what} is {number}, which JSON cannot represent")))
    }

    fn below<T: Serialize + ?Sized>(&mut self, name: String, value: &T) -> Result<(), WriteError> {
        self.path.push(name);
        value.serialize(Check { path: self.path })?;
        self.path.pop();
        Ok(())
    }

    fn compound(self, variant: Option<&str>) -> Compound<'a> {
        self.path.extend(variant.map(str::to_owned));
        Compound { check: self, is_variant: variant.is_some(), index: 0, key: String::new() }
    }
}

/// An array or an object.
struct Compound<'a> {
    check: Check<'a>,
    is_variant: bool,
    index: usize,
    key: String,
}

impl Compound<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        let index = self.index.to_string();
        self.index += 1;
        self.check.below(index, value)
    }

    fn finish(self) {
        if self.is_variant {
            self.check.path.pop();
        }
    }
}

macro_rules! without_floats {
    ($($name:ident($type:ty)),* $(,)?) => {
        $(fn $name(self, _: $type) -> Result<(), WriteError> {
            Ok(())
        })*
    };
}

impl<'a> Serializer for Check<'a> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = Compound<'a>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = Compound<'a>;

    without_floats! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_i128(i128), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
        serialize_u128(u128), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str),
    }

    fn serialize_f32(self, number: f32) -> Result<(), WriteError> {
        self.number(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<(), WriteError> {
        self.number(number)
    }

    fn serialize_none(self) -> Result<(), WriteError> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), WriteError> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), WriteError> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), WriteError> {
        self.below(variant.to_owned(), value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a>, WriteError> {
        Ok(self.compound(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a>, WriteError> {
        Ok(self.compound(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, WriteError> {
        Ok(self.compound(None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, WriteError> {
        Ok(self.compound(Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a>, WriteError> {
        Ok(self.compound(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, WriteError> {
        Ok(self.compound(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Compound<'a>, WriteError> {
        Ok(self.compound(Some(variant)))
    }
}

macro_rules! arrays {
    ($($array:ident::$item:ident),* $(,)?) => {
        $(impl $array for Compound<'_> {
            type Ok = ();
            type Error = WriteError;

            fn $item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
                self.item(value)
            }

            fn end(self) -> Result<(), WriteError> {
                self.finish();
                Ok(())
            }
        })*
    };
}

arrays! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

macro_rules! objects {
    ($($object:ident),* $(,)?) => {
        $(impl $object for Compound<'_> {
            type Ok = ();
            type Error = WriteError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), WriteError> {
                self.check.below(key.to_owned(), value)
            }

            fn end(self) -> Result<(), WriteError> {
                self.finish();
                Ok(())
            }
        })*
    };
}

objects! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), WriteError> {
        // The first pass has shown that the key can be written. Keys that are numbers become texts.
        let json = serde_json::to_value(key).unwrap_or_default();
        self.key = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        let key = std::mem::take(&mut self.key);
        self.check.below(key, value)
    }

    fn end(self) -> Result<(), WriteError> {
        self.finish();
        Ok(())
    }
}

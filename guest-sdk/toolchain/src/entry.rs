//! Finds a script project's entry: the module that exports the plugin.

pub(crate) mod javascript;
pub(crate) mod python;

pub(crate) use self::javascript::JavaScriptEntry;
pub(crate) use self::python::PythonEntry;

//! Methods that set one field: settings are extensible structs, which other crates cannot write out as literals.

/// `setters!(Type { field: type, … })` gives `Type` a method for each field that sets it and hands the settings on.
macro_rules! setters {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        impl $name {
            $(
                /// Sets the field of this name and hands the settings on.
                #[must_use]
                pub fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}
pub(crate) use setters;

//! Enums whose values have stable names, written beside them.

/// Makes an enum, the name of each value, and its `Display`, which writes that name.
macro_rules! labelled {
    (
        $(#[$about:meta])*
        pub enum $enum:ident {
            $($(#[doc = $doc:literal])+ $value:ident = $label:literal,)+
        }
    ) => {
        $(#[$about])*
        pub enum $enum { $($(#[doc = $doc])+ $value,)+ }

        impl $enum {
            /// Stable name in scenarios and reports.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$value => $label,)+ }
            }
        }

        impl core::fmt::Display for $enum {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}

pub(crate) use labelled;

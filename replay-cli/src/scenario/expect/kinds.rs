//! What every kind of expectation gets from its line in the table, and how the checks reach its elements.

use crate::scenario::check::Checker;
use crate::scenario::list::{ClosedList, Named};
use crate::scenario::positions::escape;

/// Makes the fields of a scenario's `expect`, the kinds they are of, and the kinds of failures.
macro_rules! kinds {
    (
        $($(#[$doc:meta])+ $field:ident $kind:ident: $written:ty {
            $($(#[$why:meta])+ $failure:ident = $label:literal,)+
        })+
        others { $($(#[$other_why:meta])+ $other:ident = $other_label:literal,)+ }
    ) => {
        /// The expectations of a scenario. What is absent is not compared; an empty closed list says that nothing may happen.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Expectations {$(
            $(#[$doc])+
            #[serde(default, skip_serializing_if = "is_absent")]
            pub $field: $written,
        )+}

        impl Expectations {
            /// Whether something of a kind is expected.
            #[must_use]
            pub fn has(&self, kind: ExpectationKind) -> bool {
                match kind { $(ExpectationKind::$kind => !is_absent(&self.$field),)+ }
            }

            /// What types cannot say about them.
            pub(super) fn check(&self, checker: &mut Checker<'_>) {
                $(self.$field.check(concat!("/expect/", stringify!($field)), checker);)+
            }
        }

        /// The kinds of expectations, in the order of a scenario's fields.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ExpectationKind { $($(#[$doc])+ $kind,)+ }

        impl ExpectationKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The word for it in scenarios.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$kind => stringify!($field),)+ }
            }
        }

        /// The kinds of failures.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum FailureKind { $($($(#[$why])+ $failure,)+)+ $($(#[$other_why])+ $other,)+ }

        impl FailureKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$($(Self::$failure,)+)+ $(Self::$other,)+];

            /// Stable label in reports.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $($(Self::$failure => $label,)+)+ $(Self::$other => $other_label,)+ }
            }
        }
    };
}

/// Whether a field is not written.
pub(super) fn is_absent<T: Default + PartialEq>(field: &T) -> bool {
    *field == T::default()
}

/// What is written of a kind, by what its type cannot say.
pub(super) trait Written {
    fn check(&self, _pointer: &str, _checker: &mut Checker<'_>) {}
}

/// An element of a list, or with its key of a map; `pointer` leads to it.
pub(super) trait Element: Sized {
    fn check(&self, key: &str, pointer: &str, checker: &mut Checker<'_>);

    /// What is between the elements of one list.
    fn check_all(_list: &[Self], _pointer: &str, _checker: &mut Checker<'_>) {}
}

impl<T: Element> Written for Vec<T> {
    fn check(&self, pointer: &str, checker: &mut Checker<'_>) {
        for (index, element) in self.iter().enumerate() {
            element.check("", &format!("{pointer}/{index}"), checker);
        }
        T::check_all(self, pointer, checker);
    }
}

impl<T: Element> Written for Option<ClosedList<T>> {
    fn check(&self, pointer: &str, checker: &mut Checker<'_>) {
        if let Some(list) = self {
            list.items.check(pointer, checker);
        }
    }
}

impl<T: Element> Written for Named<T> {
    fn check(&self, pointer: &str, checker: &mut Checker<'_>) {
        for (key, element) in self.iter() {
            element.check(key, &format!("{pointer}/{}", escape(key)), checker);
        }
    }
}

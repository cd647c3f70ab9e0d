//! Formulas against closed forms, finite differences, counting, and networks whose weights are planted.

mod channels;
mod derivatives;
mod networks;
mod norms;
mod regions;

"""What a program's parameters may be made of: names in MLIR, in parameter files, and bytes of an element."""

ELEMENTS = {
    "f32": ("F32", 4),
    "f16": ("F16", 2),
    "bf16": ("BF16", 2),
    "f64": ("F64", 8),
    "i64": ("I64", 8),
    "i32": ("I32", 4),
    "i16": ("I16", 2),
    "i8": ("I8", 1),
    "f8E4M3FN": ("F8_E4M3", 1),
    "f8E5M2": ("F8_E5M2", 1),
}

/** Numbers and texts in a program's memory. */

/** Sizes in bytes of the types of values. */
export const VALUE_BYTES = {
  i8: 1,
  u8: 1,
  i16: 2,
  u16: 2,
  i32: 4,
  u32: 4,
  i64: 8,
  u64: 8,
  f32: 4,
  f64: 8,
} as const;

export type ValueType = keyof typeof VALUE_BYTES;
/** 64-bit integers are bigints. */
export type ValueOf<T extends ValueType> = T extends 'i64' | 'u64' ? bigint : number;

const READERS: { readonly [T in ValueType]: (view: DataView) => ValueOf<T> } = {
  i8: (view) => view.getInt8(0),
  u8: (view) => view.getUint8(0),
  i16: (view) => view.getInt16(0, true),
  u16: (view) => view.getUint16(0, true),
  i32: (view) => view.getInt32(0, true),
  u32: (view) => view.getUint32(0, true),
  i64: (view) => view.getBigInt64(0, true),
  u64: (view) => view.getBigUint64(0, true),
  f32: (view) => view.getFloat32(0, true),
  f64: (view) => view.getFloat64(0, true),
};

/** @param bytes at least as many as the type has */
export function decodeValue<T extends ValueType>(bytes: Uint8Array, type: T): ValueOf<T> {
  return READERS[type](new DataView(bytes.buffer, bytes.byteOffset, VALUE_BYTES[type]));
}

/** What expressions give. */

/** Whole numbers that a double does not hold exactly, and addresses, are bigints. */
export type ExpressionValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly ExpressionValue[]
  | { readonly [name: string]: ExpressionValue };

export interface Evaluated {
  /** As gdb's `print` shows it; of a pointer to characters the text in quotes, without its address. */
  readonly text: string;
  /** As C, C++ or Rust write it. */
  readonly type: string;
  /**
   * The same for programs: numbers, texts of character pointers and arrays, arrays, structures by the names of their
   * members; containers as their pretty-printers take them apart. null: void, or more than can be told in ten thousand parts.
   */
  readonly value: ExpressionValue;
  /** Of a pointer to characters: where the text is; else null. */
  readonly address: bigint | null;
}

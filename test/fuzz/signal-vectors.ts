/** Exceptions that raise signals of a number, for a machine that makes them up (SDM vol. 3, table 6-1). */
export const SIGNALS_AS_VECTORS: Readonly<Record<number, number>> = { 4: 6, 5: 3, 7: 17, 8: 0, 11: 13 };

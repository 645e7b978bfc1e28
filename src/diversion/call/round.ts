/** The largest multiple of `unit` that is not above `value`; addresses exceed 32 bits. */
export const roundDown = (value: number, unit: number): number => Math.floor(value / unit) * unit;

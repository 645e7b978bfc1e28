import { printable } from '../engine/base/names.js';

/** Names in a trace are untrusted bytes: control characters must not reach a terminal. */
export { printable };

/** The same for text of several lines. */
export const printableLines = (text: string): string => text.split('\n').map(printable).join('\n');

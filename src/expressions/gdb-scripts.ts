import path from 'node:path';

/** src/, or dist/, to which the build copies the scripts; gdb gets their paths. */
const sources = path.resolve(import.meta.dirname, '..');

/** Commands and prompt for gdb. */
export const gdbScript = path.join(sources, 'debugger/revenant-gdb.py');
/** Evaluates expressions inside gdb. */
export const evaluateScript = path.join(sources, 'expressions/evaluate.py');

import path from 'node:path';

/** src/, or dist/, where the build copies them to: gdb is given their paths. */
const sources = path.resolve(import.meta.dirname, '..');

/** Commands and prompt for gdb. */
export const gdbScript = path.join(sources, 'debugger/revenant-gdb.py');
/** Evaluates expressions inside gdb. */
export const evaluateScript = path.join(sources, 'expressions/evaluate.py');

import path from 'node:path';

const sources = path.resolve(import.meta.dirname, '../../src');

/** Commands and prompt for gdb. Files of the sources also when this runs from dist/: gdb is given their paths. */
export const gdbScript = path.join(sources, 'debugger/revenant-gdb.py');
/** Evaluates expressions inside gdb. */
export const evaluateScript = path.join(sources, 'expressions/evaluate.py');

import path from 'node:path';

/** Commands and prompt for gdb. A file of the sources also when this runs from dist/: gdb is given its path. */
export const gdbScript = path.resolve(import.meta.dirname, '../../../src/debugger/revenant-gdb.py');

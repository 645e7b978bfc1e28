/** Archives of traces. Without the test runner, for programs that replay them, too. */
export { isFolder, unpack } from '../scripts/unpack.mjs';

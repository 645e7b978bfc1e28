/**
 * npm's install step of the package: uses the compiled parts that came with it where they run on this machine, else
 * builds them. In the project itself `npm run build` does that, and this does nothing.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { buildNative } from './build.mjs';
import { isCheckout, root, say, script } from './lib.mjs';

/** Why a program does not end as it does where it runs, or null. */
function problemOf(command, args, expected) {
  const { error, status, signal, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 60_000 });
  if (error) return error.message;
  return status === expected ? null : stderr.trim().split('\n').at(-1) || `exit status ${status ?? signal}`;
}

function problemOfPrebuilt() {
  const folder = path.join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  const load = `process.dlopen({ exports: {} }, ${JSON.stringify(path.join(folder, 'revenant.node'))})`;
  // Without arguments the keeper prints its usage.
  return (
    problemOf(process.execPath, ['-e', load], 0) ?? problemOf(path.join(folder, 'revenant-keeper'), [], 2)
  );
}

await script(() => {
  if (isCheckout) return;
  const problem = problemOfPrebuilt();
  if (problem === null) return;
  say(`revenant: the compiled parts of the package do not run here (${problem}); building them`);
  buildNative();
});

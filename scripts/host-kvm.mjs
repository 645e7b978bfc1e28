// npm run host-kvm [-- [--verify-ticks] TRACE|FOLDER...]
//   Tries the host's KVM in a computer out of QEMU's emulator that has an honest one: the checks of test/host-kvm, or
//   replays of these traces. Prints what each said and the seconds that it took there.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { root, script } from './lib.mjs';
import { ensureReady } from './setup.mjs';

await script(async () => {
  await ensureReady({ forTests: true, emulated: true });
  const program = [path.join(root, 'node_modules/.bin/vite-node'), path.join(root, 'test/host-kvm/main.ts')];
  return (
    spawnSync(process.execPath, [...program, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1
  );
});

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ResultCache } from '../jobs/cache/cache.js';
import { fileDigest, folderDigest, listDigest } from '../jobs/cache/digest.js';
import { configure } from '../machine/launch.js';
import type { CiEnvironment } from './ci-environment.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The cache of results, or null where none is wanted. */
export function openCache(
  { cache }: { cache?: string | false },
  { environment, date }: CiEnvironment,
): ResultCache | null {
  if (cache === false) return null;
  const base = environment.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache');
  return new ResultCache(cache ?? path.join(base, 'revenant/ci'), buildDigest(), date);
}

/** Everything that decides how a trace replays here but the trace: our code, the emulated machine, the processor. */
function buildDigest(): string {
  const native = path.join(ROOT, 'build/native/Release');
  const addon = fs.existsSync(native)
    ? fs.readdirSync(native).filter((name) => name.startsWith('revenant.'))
    : [];
  const code = folderDigest(path.join(ROOT, 'dist')).filter(({ name }) => name.endsWith('.js'));
  return listDigest([
    ...code,
    ...addon.map((name) => ({ name, ...fileDigest(path.join(native, name)) })),
    { name: `machine ${emulatedMachine()}`, bytes: 0, sha256: '' },
    {
      name: `host ${os.cpus()[0]?.model ?? ''} ${fs.existsSync('/dev/kvm')} ${os.release()}`,
      bytes: 0,
      sha256: '',
    },
  ]);
}

/** Names QEMU, kernel and our part of it; none where it is not installed. */
function emulatedMachine(): string {
  try {
    return configure({}).baseName;
  } catch {
    return 'none';
  }
}

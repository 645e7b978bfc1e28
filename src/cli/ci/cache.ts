import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { nativeFolder, projectRoot } from '../../engine/base/native-folder.js';
import { ResultCache } from '../../jobs/cache/cache.js';
import { fileDigest, folderDigest, listDigest } from '../../jobs/cache/digest.js';
import { configure } from '../../machine/launch.js';
import { cacheFolder } from '../cache-folder.js';
import type { CiEnvironment } from './environment.js';

/** The cache of results, or null if it is disabled or there is no folder for it. */
export function openCache(
  { cache }: { cache?: string | false },
  { variables, date }: CiEnvironment,
  complain: (text: string) => void,
): ResultCache | null {
  if (cache === false) return null;
  const base = cacheFolder(variables);
  const folder = cache ?? (base === null ? null : path.join(base, 'ci'));
  if (folder !== null) return new ResultCache(folder, buildDigest(), date);
  complain('results are not cached: this user has no home folder; name a folder with --cache FOLDER');
  return null;
}

/**
 * Everything besides the trace that determines how it replays here: our code, the emulated machine, the processor.
 */
function buildDigest(): string {
  const native = nativeFolder();
  const addon = fs.existsSync(native)
    ? fs.readdirSync(native).filter((name) => name.startsWith('revenant.'))
    : [];
  const code = folderDigest(path.join(projectRoot, 'dist')).filter(({ name }) => name.endsWith('.js'));
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

/** Identifies QEMU and the machine's program; empty if the emulated machine is not installed. */
function emulatedMachine(): string {
  try {
    return configure({}).baseName;
  } catch {
    return 'none';
  }
}

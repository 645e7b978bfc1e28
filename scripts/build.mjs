/**
 * Builds what is out of date: TypeScript to dist/, the addon and the tools to build/, the emulated
 * machine's initramfs. `staleParts()` is cheap enough to be asked at every start of bin/revenant.
 */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { filesBelow, root, run, runQuietly, say, script, StepFailed } from './lib.mjs';

/** part -> its sources, what must be there once it is built, the stamp of the last build, and how to build it. */
const parts = {
  TypeScript: {
    sources: () => [
      ...filesBelow(['src'], (name) => name.endsWith('.ts') && !name.endsWith('.spec.ts')),
      'tsconfig.json',
    ],
    outputs: ['dist/cli/main.js'],
    stamp: 'dist/.built',
    build: () => run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']),
  },
  'native code': {
    sources: () => [
      ...filesBelow(['native', 'test/native'], (name) => /\.(cc|h|S|c|ld|txt)$/.test(name)),
      ...['CMakeLists.txt'].filter((name) => fs.existsSync(path.join(root, name))),
    ],
    outputs: ['build/native/Release/revenant.node', 'build/native/Release/vcpud'],
    stamp: 'build/native/.built',
    // A folder of its own: cmake-js empties it when a build fails.
    build: () =>
      runQuietly(process.execPath, [
        ...['node_modules/cmake-js/bin/cmake-js', 'compile'],
        ...['-l', 'error', '-O', 'build/native'],
      ]),
  },
};

const modified = (name) => fs.statSync(path.join(root, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Names of the parts that are older than their sources; [] where there are no sources (installed package). */
export function staleParts() {
  if (!fs.existsSync(path.join(root, 'src'))) return [];
  return Object.entries(parts)
    .filter(([, part]) => {
      const built = modified(part.stamp);
      if (part.outputs.some((name) => modified(name) === 0)) return true;
      return part.sources().some((name) => modified(name) >= built);
    })
    .map(([name]) => name);
}

/** Holds build/.lock while `work` runs, so that two first uses at once do not build into each other. */
export async function locked(work) {
  const lock = path.join(root, 'build/.lock');
  fs.mkdirSync(path.dirname(lock), { recursive: true });
  for (let said = false; ; said = true) {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (!ownerLives(lock)) {
      fs.rmSync(lock, { force: true });
      continue;
    }
    if (!said) say('revenant: waiting for another build');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  try {
    return await work();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

function ownerLives(lock) {
  try {
    process.kill(Number(fs.readFileSync(lock, 'utf8')), 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Builds the stale parts. Needs node_modules; the caller holds the lock. Throws StepFailed. */
export function buildStale() {
  for (const name of staleParts()) {
    const part = parts[name];
    if (part.sources().length < 2) continue;
    say(`revenant: building ${name}`);
    // The stamp carries the time at which the build began: a source saved meanwhile is newer.
    const begun = new Date();
    part.build();
    const stamp = path.join(root, part.stamp);
    fs.mkdirSync(path.dirname(stamp), { recursive: true });
    fs.writeFileSync(stamp, '');
    fs.utimesSync(stamp, begun, begun);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await script(async () => {
    if (!fs.existsSync(path.join(root, 'node_modules'))) {
      throw new StepFailed(
        'node_modules is missing: run `npm ci` first, or `npm run demo`, which does everything',
      );
    }
    await locked(buildStale);
  });
}

/** Builds what is out of date: TypeScript to dist/, the addon and the tools to build/. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { BUNDLE, sealed } from './command-line.mjs';
import { filesBelow, ownFolder, root, runQuietly, say, script, StepFailed } from './lib.mjs';
import { modified, PARTS, sourcesOf, staleParts } from './stale.mjs';

/**
 * Compiles the addon and the programs of the machines into build/native. Throws StepFailed.
 * @param {string} [target] of CMake, beside those
 */
export function buildNative(target) {
  const manifest = createRequire(import.meta.url).resolve('cmake-js/package.json');
  // A separate folder: cmake-js empties it when a build fails.
  const cmake = (command, ...more) =>
    runQuietly(process.execPath, [
      ...[path.join(path.dirname(manifest), 'bin/cmake-js'), command],
      ...['-l', 'error', '-O', 'build/native', ...more],
    ]);
  // CMake refuses a cache of another folder: this checkout was moved or copied.
  const cache = path.join(root, 'build/native/CMakeCache.txt');
  const home = fs.existsSync(cache)
    ? /^CMAKE_HOME_DIRECTORY:\w+=(.*)$/m.exec(fs.readFileSync(cache, 'utf8'))
    : null;
  if (home && path.relative(home[1], root) !== '') fs.rmSync(path.dirname(cache), { recursive: true });
  // The build depends on the libraries that the last configuration found.
  if (PARTS['native code'].outputs.some((name) => modified(name) === 0)) cmake('configure');
  cmake('compile', ...(target === undefined ? [] : ['-T', target]));
}

/** Without checking types: `npm run check` does. */
async function buildTypeScript(sources) {
  // Not in an installed package.
  const { build } = await import('esbuild');
  const common = {
    absWorkingDir: root,
    outdir: 'dist',
    format: 'esm',
    platform: 'node',
    target: 'node20.11',
    sourcemap: true,
    logLevel: 'warning',
  };
  const entryPoints = sources.filter((name) => name.endsWith('.ts'));
  await Promise.all([build({ ...common, entryPoints, outbase: 'src' }), buildBundle(build, common)]);
  // gdb is given the paths of these.
  for (const name of sources.filter((each) => each.endsWith('.py')))
    fs.copyFileSync(path.join(root, name), path.join(root, name.replace(/^src/, 'dist')));
  removeOrphans();
}

/**
 * What bin/revenant runs: loading hundreds of modules one by one takes longer than many a replay. As a script, not a module: V8's
 * code can be kept of scripts only.
 */
async function buildBundle(build, common) {
  const { outputFiles } = await build({
    ...common,
    entryPoints: ['src/cli/main.ts'],
    outdir: undefined,
    outfile: BUNDLE,
    format: 'cjs',
    charset: 'ascii',
    bundle: true,
    // Every command needs this one.
    external: dependencies().filter((name) => name !== 'commander'),
    // V8 does not keep what `import()` needs beside code.
    supported: { 'dynamic-import': false },
    define: { 'import.meta.url': '__filename', 'import.meta.dirname': '__dirname' },
    write: false,
  });
  fs.mkdirSync(path.join(root, path.dirname(BUNDLE)), { recursive: true });
  for (const { path: name, text } of outputFiles) {
    const digest = createHash('sha256').update(text).digest('hex').slice(0, 32);
    fs.writeFileSync(name, name.endsWith('.map') ? text : sealed(text, digest));
  }
  // The licence asks for its text beside copies.
  const licence = path.join(root, path.dirname(BUNDLE), 'commander.copyright');
  fs.copyFileSync(path.join(root, 'node_modules/commander/LICENSE'), licence);
}

const dependencies = () =>
  Object.keys(JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')).dependencies);

/** The output of a source that was moved or removed remains. */
function removeOrphans() {
  for (const name of filesBelow(['dist'], (each) => /\.(js|d\.ts|js\.map|py)$/.test(each))) {
    const source = name.replace(/^dist/, 'src').replace(/\.(js|d\.ts|js\.map)$/, '.ts');
    if (!fs.existsSync(path.join(root, source))) fs.rmSync(path.join(root, name));
  }
}

/** By the names of PARTS. */
const BUILDS = {
  TypeScript: buildTypeScript,
  'native code': () => buildNative(),
  'native tests': () => buildNative('tests'),
};

/** Holds a lock file while `work` runs, so that two first uses at once do not build into each other. */
export async function locked(work) {
  const lock = path.join(ownFolder(), '.lock');
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

/** Builds the stale parts. Needs node_modules; the caller holds the lock. Throws StepFailed. Returns whether there were any. */
export async function buildStale(options) {
  const stale = staleParts(options);
  for (const name of stale) {
    const part = PARTS[name];
    const sources = sourcesOf(part);
    if (sources.length < 2) continue;
    say(`revenant: building ${name}`);
    // The stamp carries the time at which the build began: a source saved meanwhile is newer.
    const begun = new Date();
    await BUILDS[name](sources);
    const stamp = path.join(root, part.stamp);
    fs.mkdirSync(path.dirname(stamp), { recursive: true });
    fs.writeFileSync(stamp, '');
    fs.utimesSync(stamp, begun, begun);
  }
  return stale.length > 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await script(async () => {
    if (!fs.existsSync(path.join(root, 'node_modules'))) {
      throw new StepFailed(
        'node_modules is missing: run `npm ci` first, or `npm run demo`, which does everything',
      );
    }
    await locked(() => buildStale({ forTests: true }));
  });
}

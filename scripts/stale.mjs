/** What is built of what, and what of that is out of date: cheap enough for every start of bin/revenant. Plain node, as lib.mjs. */
import fs from 'node:fs';
import { BUNDLE } from './command-line.mjs';
import { filesBelow, isCheckout, root } from './lib.mjs';

/** Only with this library AVX-512 and the like are executed in software, and the tests of that are built. */
const zydis = fs.existsSync('/usr/include/Zydis/Zydis.h');

const isNative = (name) => /\.(cc|h|S|c|ld|txt)$/.test(name);

/**
 * part -> its sources by folder and file name, and others; what must be there once it is built, the stamp of the last build,
 * and whether only tests need it.
 */
export const PARTS = {
  TypeScript: {
    folders: ['src'],
    isSource: (name) => (name.endsWith('.ts') && !name.endsWith('.spec.ts')) || name.endsWith('.py'),
    others: ['tsconfig.json'],
    outputs: ['dist/cli/main.js', BUNDLE, 'dist/debugger/revenant-gdb.py'],
    stamp: 'dist/.built',
  },
  'native code': {
    folders: ['native'],
    isSource: isNative,
    others: ['CMakeLists.txt'],
    outputs: [
      ...['Release/revenant.node', 'Release/revenant-sandbox', 'Release/bare.rom'],
      ...(zydis ? ['librevenant-completion.a'] : []),
    ].map((name) => `build/native/${name}`),
    stamp: 'build/native/.built',
  },
  'native tests': {
    folders: ['native', 'test/native'],
    isSource: isNative,
    others: ['CMakeLists.txt'],
    outputs: ['native-tests', ...(zydis ? ['completion-tests'] : [])].map(
      (name) => `build/native/Release/${name}`,
    ),
    stamp: 'build/native/.tests-built',
    forTests: true,
  },
};

/** When a file of the project was changed, in milliseconds; 0: there is none. */
export const modified = (name) => fs.statSync(`${root}/${name}`, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Those that are there. */
export const sourcesOf = ({ folders, isSource, others }) => [
  ...filesBelow(folders, isSource),
  ...others.filter((name) => modified(name) > 0),
];

/** Whether a source below a folder was changed then or later. */
function isChanged(folder, isSource, since) {
  if (modified(folder) === 0) return false;
  for (const entry of fs.readdirSync(`${root}/${folder}`, { withFileTypes: true })) {
    const { name } = entry;
    if (name.startsWith('.')) continue;
    const path = `${folder}/${name}`;
    if (entry.isDirectory() ? isChanged(path, isSource, since) : isSource(name) && modified(path) >= since)
      return true;
  }
  return false;
}

function isStale({ folders, isSource, others, outputs, stamp }) {
  if (outputs.some((name) => modified(name) === 0)) return true;
  const built = modified(stamp);
  return (
    others.some((name) => modified(name) >= built) ||
    folders.some((folder) => isChanged(folder, isSource, built))
  );
}

/** Names of the parts that are older than their sources; [] without sources (installed package). */
export function staleParts({ forTests = false } = {}) {
  if (!isCheckout) return [];
  return Object.keys(PARTS).filter((name) => (forTests || !PARTS[name].forTests) && isStale(PARTS[name]));
}

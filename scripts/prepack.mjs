/** What `npm pack` needs beside the sources: a fresh build, the compiled parts without symbols, the manual page. */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildStale, locked } from './build.mjs';
import { root, run, script, StepFailed } from './lib.mjs';

const load = (name) => import(pathToFileURL(path.join(root, 'dist', name)).href);

async function manual() {
  const { commandLineFacts } = await load('cli/main.js');
  const { manPage } = await load('cli/manual/man-page.js');
  const { ENVIRONMENT } = await load('cli/manual/environment.js');
  const { EXITS } = await load('engine/base/errors.js');
  return manPage({ ...commandLineFacts(), exits: Object.values(EXITS), environment: ENVIRONMENT });
}

/** Debian's file; the licence asks for its text beside copies of the library. */
function licenceOfZydis() {
  const documents = '/usr/share/doc';
  const [name] = fs.readdirSync(documents).filter((each) => /^libzydis\d/.test(each));
  if (!name) throw new StepFailed('prepack: the licence of libzydis is not in /usr/share/doc');
  return path.join(documents, name, 'copyright');
}

await script(async () => {
  await locked(() => buildStale());
  run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json', '--emitDeclarationOnly']);
  const prebuilt = path.join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  fs.rmSync(path.join(root, 'prebuilds'), { recursive: true, force: true });
  fs.mkdirSync(prebuilt, { recursive: true });
  const built = path.join(root, 'build/native/Release');
  const libraries = fs.readdirSync(built).filter((name) => /^libZydis\.so\./.test(name));
  for (const name of ['revenant.node', 'revenant-keeper', 'revenant-sandbox', ...libraries])
    run('strip', ['-o', path.join(prebuilt, name), path.join(built, name)]);
  fs.copyFileSync(path.join(built, 'bare.rom'), path.join(prebuilt, 'bare.rom'));
  if (libraries.length > 0) fs.copyFileSync(licenceOfZydis(), path.join(prebuilt, 'libZydis.copyright'));
  fs.mkdirSync(path.join(root, 'man'), { recursive: true });
  fs.writeFileSync(path.join(root, 'man/revenant.1'), await manual());
});

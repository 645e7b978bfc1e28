/**
 * Who may import whom, and which file may do what. One table, used by eslint (lint/import-direction.js)
 * while editing and by test/imports.spec.ts, which walks the whole graph.
 */

/**
 * Layer -> layers it may import besides itself. A layer is the longest matching path below the
 * project; a file in no layer (tests, scripts) may import anything.
 * @type {Record<string, readonly string[]>}
 */
export const layers = (() => {
  const base = 'src/engine/base';
  const trace = 'src/engine/trace';
  const host = 'src/engine/host';
  const x86 = 'src/engine/x86';
  const symbols = 'src/engine/symbols';
  const kvm = 'src/engine/kvm';
  const mm = 'src/engine/mm';
  const task = 'src/engine/task';
  const debug = 'src/engine/debug';
  const replay = 'src/engine/replay';
  const travel = 'src/engine/travel';
  const persist = 'src/engine/persist';
  const diversion = 'src/diversion';
  const frontEnd = 'src/debugger';
  const expressions = 'src/expressions';
  const recording = 'src/recording';
  const api = 'src/api';
  const jobs = 'src/jobs';
  const machine = 'src/machine';
  const index = 'src/index.ts';
  const below = [base, host, x86, symbols, trace, kvm, mm, task];
  const engine = [...below, debug, replay, travel, persist];
  return {
    [base]: [],
    [host]: [base],
    [trace]: [base],
    [x86]: [base],
    [symbols]: [base],
    [kvm]: [base, host, x86],
    [mm]: [base, host, x86, trace, kvm],
    [task]: [base, host, x86, symbols, trace, kvm, mm],
    [debug]: below,
    [replay]: [...below, debug],
    [travel]: [...below, debug, replay],
    [persist]: [...below, replay, travel],
    [diversion]: engine,
    [frontEnd]: [base, x86, symbols, mm, debug],
    [machine]: [base, host, x86, trace, kvm],
    [expressions]: [...engine, diversion, frontEnd],
    [recording]: [...engine, machine, diversion, expressions],
    [api]: [...engine, machine, diversion, expressions, recording],
    [index]: [...engine, machine, diversion, expressions, recording, api],
    [jobs]: [base, symbols, trace, machine, api, index],
    'src/cli': [...engine, machine, diversion, frontEnd, expressions, recording, api, jobs, index],
    'src/bench': [
      ...engine,
      machine,
      diversion,
      frontEnd,
      expressions,
      recording,
      api,
      jobs,
      index,
      'src/cli',
    ],
  };
})();

/** The only file that may load the native addon. */
export const addonFile = 'src/engine/kvm/native.ts';
/** The only file that may import koffi. */
export const koffiFile = 'src/engine/host/libc.ts';
/** Folders whose code may read the environment and the clock and may end the process. */
export const edges = ['src/cli', 'src/bench'];

/**
 * The layer of a file, or null.
 * @param {string} file path relative to the project, with `/`
 */
export function layerOf(file) {
  let found = null;
  for (const layer of Object.keys(layers)) {
    const inside = file === layer || file.startsWith(`${layer}/`);
    if (inside && (found === null || layer.length > found.length)) found = layer;
  }
  return found;
}

/**
 * Why `importer` may not import `imported`, or null when it may.
 * @param {string} importer path relative to the project
 * @param {string} imported path relative to the project
 */
export function importProblem(importer, imported) {
  const from = layerOf(importer);
  if (from === null)
    return importer.startsWith('src/') ? `${importer} is in no layer of lint/layers.js` : null;
  const to = layerOf(imported);
  if (to === from) return null;
  if (to === null) return `${from} may not import ${imported}, which is in no layer`;
  return layers[from].includes(to) ? null : `${from} may not import ${to}`;
}

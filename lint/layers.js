/**
 * Who may import whom, and which file may do what. One table, used by eslint (lint/import-direction.js)
 * while editing and by test/imports.spec.ts, which walks the whole graph.
 */

/**
 * Layer -> what it may import besides itself, below `src/`; `{a,b}` is either. A layer is the longest path here that a
 * file lies below, so that a folder of its own is not part of the one around it. Lower layers come first. A permission
 * that nothing uses is an error of test/imports.spec.ts: what is here is what is.
 */
const table = {
  'engine/base': '',
  'engine/host': 'engine/base',
  'engine/trace': 'engine/base',
  'engine/x86': 'engine/base',
  'engine/symbols': 'engine/base',
  'engine/kvm': 'engine/{base,x86}',
  'engine/mm': 'engine/{base,x86,kvm}',
  'engine/task': 'engine/{base,mm}',
  'engine/target.ts': 'engine/{base,mm}',
  'engine/guest/stops': 'engine/{base,x86,kvm,mm,target.ts}',
  'engine/guest': 'engine/{base,trace,x86,symbols,kvm,mm,task} engine/guest/stops',
  'engine/replay/plan': 'engine/{base,trace,x86,guest}',
  'engine/replay/state': 'engine/{base,host,trace,symbols,kvm,mm,task,guest} engine/replay/plan',
  'engine/replay/program': 'engine/{base,trace,mm,task,guest} engine/replay/state',
  'engine/replay/syscalls/facts': 'engine/{base,mm,task} engine/replay/{state,program}',
  'engine/replay/syscalls':
    'engine/{base,trace,x86,mm,task,guest} engine/replay/{plan,state,program} engine/replay/syscalls/facts',
  'engine/replay/run':
    'engine/{base,trace,x86,kvm,task,guest} engine/guest/stops engine/replay/{plan,state,program,syscalls} engine/replay/syscalls/facts',
  'engine/replay/ticks': 'engine/{base,trace,x86,kvm,mm,task,guest} engine/replay/{plan,run}',
  'engine/replay/report': 'engine/{base,trace,x86,kvm,task} engine/replay/{plan,state}',
  'engine/replay/perform':
    'engine/{base,trace,x86,kvm,task,guest} engine/guest/stops engine/replay/{plan,state,program,syscalls,run,ticks,report} engine/replay/syscalls/facts',
  'engine/replay':
    'engine/{base,trace,kvm,task} engine/guest/stops engine/replay/{plan,state,run,ticks,report,perform}',
  'engine/travel':
    'engine/{base,trace,x86,mm,task,target.ts,guest,replay} engine/guest/stops engine/replay/{plan,state,run,ticks}',
  'engine/persist': 'engine/{base,trace,x86,mm,task,guest,replay,travel} engine/replay/{plan,state}',
  'diversion/base': 'engine/{base,host,mm}',
  'diversion/files': 'engine/{base,host,kvm,mm,task} diversion/base',
  'diversion/kernel': 'engine/{base,x86,mm,task,guest} diversion/{base,files}',
  'diversion/devices': 'engine/{base,kvm,mm,task} diversion/{base,files,kernel}',
  'diversion/signals': 'engine/{base,x86,task} diversion/kernel',
  'diversion/tasks': 'engine/{base,x86,mm,task,guest} diversion/{base,kernel,signals}',
  'diversion/exec': 'engine/{base,symbols,kvm,mm,task} diversion/{base,files,kernel,tasks}',
  'diversion/syscalls': 'engine/{base,mm,task} diversion/{base,files,kernel,devices,signals,tasks,exec}',
  'diversion/run':
    'engine/{base,x86,kvm,mm,task,target.ts,guest} engine/guest/stops diversion/{base,files,kernel,signals,tasks,syscalls}',
  'diversion/call': 'engine/{base,symbols,target.ts,guest}',
  diversion:
    'engine/{base,trace,x86,mm,task,target.ts,guest} engine/guest/stops engine/replay/{state,program} engine/replay/syscalls/facts diversion/{base,files,kernel,devices,tasks,syscalls,run,call}',
  machine: 'engine/{base,trace,x86,kvm}',
  recording:
    'engine/{base,host,trace,x86,symbols,kvm,mm,task,target.ts,guest,replay,travel,persist} engine/replay/{state,ticks} diversion/{base,call} diversion machine',
  debugger: 'engine/{base,trace,x86,mm,target.ts} recording',
  expressions: 'engine/{base,trace,x86,symbols,target.ts,guest} diversion/call recording debugger',
  api: 'engine/{base,trace,symbols,mm,target.ts,travel} diversion/call recording expressions',
  'index.ts':
    'engine/{base,trace,symbols,kvm,target.ts,replay,persist} engine/replay/state diversion/call machine recording api',
  'jobs/model': 'engine/{base,trace} engine/replay/report machine recording',
  'jobs/checks': 'recording jobs/model',
  'jobs/manifest': 'engine/{base,symbols} jobs/model',
  'jobs/report': 'engine/base recording jobs/model',
  'jobs/questions': 'engine/base jobs/{model,checks}',
  'jobs/run':
    'engine/{base,trace,persist} engine/replay/report diversion/base recording expressions jobs/{model,checks,report,questions}',
  'jobs/cache': 'engine/base jobs/{model,run}',
  'jobs/store': 'engine/base jobs/{model,report,cache}',
  'jobs/queue': 'engine/{base,trace} machine jobs/{model,run,store}',
  cli: 'engine/{base,trace,x86} engine/replay/{state,report} diversion/base machine recording debugger',
  'cli/ci': 'engine/base machine cli jobs/{model,report,run,cache,store,queue}',
  'cli/commands':
    'engine/{base,trace,x86,kvm,replay,persist} diversion/{base,call} machine recording debugger expressions cli jobs/{model,manifest,report,run,cache,store,queue} cli/ci',
  'cli/options': 'engine/base machine recording cli cli/{ci,commands}',
  'cli/main.ts': 'engine/base machine recording cli cli/{commands,options}',
  bench:
    'engine/{base,trace,x86,kvm,mm,target.ts,replay,travel,persist} engine/replay/{state,ticks} machine recording cli',
};

/** @param {string} list names separated by spaces, with braces */
const expand = (list) =>
  list
    .split(' ')
    .filter((name) => name !== '')
    .flatMap((name) => {
      const [, before, options] = /^(.*)\{(.*)\}$/.exec(name) ?? [null, name, ''];
      return options.split(',').map((option) => `src/${before}${option}`);
    });

/**
 * Layer -> layers it may import besides itself, as paths below the project. A file in no layer (tests, scripts) may
 * import anything.
 * @type {Record<string, readonly string[]>}
 */
export const layers = Object.fromEntries(
  Object.entries(table).map(([layer, list]) => [`src/${layer}`, expand(list)]),
);

/** What front ends leave to the layer between them and the engine: see ARCHITECTURE.md, "A recording, opened". */
export const middle = {
  frontEnds: ['src/api', 'src/cli', 'src/debugger', 'src/expressions', 'src/jobs'],
  rules: [
    {
      pattern: /\.poll\(\)|\bsession\.advance\(/,
      message: 'polling is in src/recording: untilStop, arrival, advanceTo',
    },
    {
      pattern:
        /\b(?:openTransport|openHost|acquireEmulated|chooseMachine|tryMachine)\b|\b(?:Machine\.create|TravelTarget\.open|ReplaySession\.open)\(/,
      message:
        'machines are opened in src/recording (openRecording, Machines) and src/machine (surveyMachine)',
    },
    {
      pattern: /\bparse(?:Place|SymbolOffset)\b/,
      message: 'places are read in src/recording/place.ts: requirePlace, codePlace',
    },
  ],
};

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
 * What of a file belongs into the middle, in words.
 * @param {string} file path relative to the project
 * @param {string} text its content
 */
export function middleProblems(file, text) {
  if (file.endsWith('.spec.ts') || !middle.frontEnds.some((folder) => file.startsWith(`${folder}/`)))
    return [];
  return middle.rules.filter(({ pattern }) => pattern.test(text)).map(({ message }) => message);
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

import path from 'node:path';
import { addonFile, edges, importProblem, koffiFile, middleProblems } from './layers.js';

const root = path.resolve(import.meta.dirname, '..');
const relative = (file) => path.relative(root, file).split(path.sep).join('/');

/** Imports go down the layers only; koffi and the addon are each loaded in one file. */
const direction = {
  meta: { type: 'problem', schema: [] },
  create(context) {
    const file = relative(context.filename);
    const spec = /\.spec\.ts$/.test(file);
    const check = (node) => {
      const name = node.source?.value;
      if (typeof name !== 'string') return;
      if (name === 'koffi' && file !== koffiFile) {
        context.report({ node, message: `only ${koffiFile} imports koffi` });
      }
      if (!name.startsWith('.') || spec) return;
      const target = relative(path.resolve(path.dirname(context.filename), name)).replace(/\.js$/, '.ts');
      const problem = importProblem(file, target);
      if (problem !== null) context.report({ node, message: problem });
    };
    return {
      ImportDeclaration: check,
      ImportExpression: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      Literal(node) {
        if (
          typeof node.value === 'string' &&
          /\.node$/.test(node.value) &&
          file !== addonFile &&
          file.startsWith('src/')
        ) {
          context.report({ node, message: `only ${addonFile} loads the addon` });
        }
      },
    };
  },
};

const effects = new Set(['process.env', 'process.exit', 'process.hrtime', 'performance.now', 'Date.now']);

/** Environment, clock and exit belong to the edges of the program. */
const noAmbient = {
  meta: { type: 'problem', schema: [] },
  create(context) {
    const file = relative(context.filename);
    const edge = edges.some((folder) => file.startsWith(`${folder}/`));
    if (edge || !file.startsWith('src/') || /\.spec\.ts$/.test(file)) return {};
    const report = (node, what) =>
      context.report({ node, message: `only ${edges.join(' and ')} may use ${what}` });
    return {
      MemberExpression(node) {
        if (node.object.type !== 'Identifier' || node.property.type !== 'Identifier' || node.computed) return;
        const name = `${node.object.name}.${node.property.name}`;
        if (effects.has(name)) report(node, name);
      },
      NewExpression(node) {
        if (node.callee.type === 'Identifier' && node.callee.name === 'Date' && node.arguments.length === 0) {
          report(node, 'new Date()');
        }
      },
    };
  },
};

/** Front ends open recordings, go and look by src/recording. */
const throughMiddle = {
  meta: { type: 'problem', schema: [] },
  create(context) {
    const problems = middleProblems(relative(context.filename), context.sourceCode.text);
    return {
      Program(node) {
        for (const message of problems) context.report({ node, message });
      },
    };
  },
};

export default { rules: { direction, 'no-ambient': noAmbient, 'through-middle': throughMiddle } };

/** A vitest reporter that reports to the process that started vitest, message by message: see specs.mjs. */

const text = (error) => error?.stack ?? error?.message ?? String(error);

export default class SpecReporter {
  tell(kind, rest) {
    process.send?.({ kind, ...rest });
  }
  onTestRunStart(specifications) {
    this.tell('run', { files: specifications.map(({ moduleId }) => moduleId) });
  }
  onTestModuleQueued({ moduleId }) {
    this.tell('file', { file: moduleId });
  }
  onTestCaseResult(test) {
    const { state, errors } = test.result();
    this.tell('test', { file: test.module.moduleId, name: test.fullName, state, errors: errors?.map(text) });
  }
  /** `errors`: of the file itself and of hooks, outside of tests. */
  onTestModuleEnd(module) {
    const suites = [...module.children.allSuites()].flatMap((suite) => suite.errors());
    const errors = [...module.errors(), ...suites].map(text);
    this.tell('end', { file: module.moduleId, errors });
  }
  onTestRunEnd(_modules, unhandled) {
    this.tell('over', { errors: unhandled.map(text) });
  }
}

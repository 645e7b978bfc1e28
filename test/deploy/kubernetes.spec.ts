/** The Kubernetes manifest, held against the API's own types and schemas. */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import ts from 'typescript';
import { beforeAll, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { root, unknownOptions } from './options.js';

const load = createRequire(import.meta.url);

interface PodSpec {
  containers: {
    name: string;
    image: string;
    args: string[];
    volumeMounts: { name: string }[];
    securityContext: object;
  }[];
  volumes?: { name: string; persistentVolumeClaim?: { claimName: string } }[];
  securityContext: object;
}

interface Resource {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  spec: { template?: Template; jobTemplate?: { spec: { template: Template } }; selector?: object } & Record<
    string,
    unknown
  >;
}

interface Template {
  metadata: { labels: Record<string, string> };
  spec: PodSpec;
}

let resources: Resource[];
beforeAll(() => {
  const text = fs.readFileSync(path.join(root, 'deploy/kubernetes.yaml'), 'utf8');
  resources = parseAllDocuments(text).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS() as Resource;
  });
});

const templateOf = ({ spec }: Resource): Template | undefined =>
  spec.template ?? spec.jobTemplate?.spec.template;
const pods = (): PodSpec[] => resources.flatMap((each) => templateOf(each)?.spec ?? []);

/** What TypeScript says of the resources as literals of the API's types: unknown and missing fields, wrong types. */
function typeErrors(all: readonly Resource[]): string[] {
  const source = all
    .map(
      ({ apiVersion, kind, ...rest }, at) =>
        `import type { I${kind} as T${at} } from 'kubernetes-models/${apiVersion}';\n` +
        `export const r${at}: T${at} = ${JSON.stringify({ apiVersion, kind, ...rest })};\n`,
    )
    .join('');
  const file = path.join(root, 'test/deploy/resources.virtual.ts');
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === file || fileExists(name);
  host.getSourceFile = (name, version) =>
    name === file ? ts.createSourceFile(name, source, version) : getSourceFile(name, version);
  return ts
    .getPreEmitDiagnostics(ts.createProgram([file], options, host))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
}

it('has only fields that the API has, of the right types', () => {
  const wrong = JSON.parse(JSON.stringify(resources[2]).replace('"replicas"', '"replica"')) as Resource;
  const errors = typeErrors([...resources, wrong]);
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatch(/"replica"' does not exist in type 'IStatefulSetSpec'/);
});

it('is valid by the schemas of the API', () => {
  for (const resource of resources) {
    const models = load(`kubernetes-models/${resource.apiVersion}`) as Record<
      string,
      new (data: object) => { validate(): void }
    >;
    const model = new models[resource.kind](resource);
    expect(() => model.validate(), resource.metadata.name).not.toThrow();
    const broken = new models[resource.kind]({
      ...resource,
      spec: { ...resource.spec, ports: 1, template: 2, podSelector: 3, schedule: 4, resources: 5 },
    });
    expect(() => broken.validate(), resource.metadata.name).toThrow();
  }
});

it('refers only to its own objects: claims, volumes, labels', () => {
  const claims = resources.filter(({ kind }) => kind === 'PersistentVolumeClaim');
  const templates = resources.map((resource) => ({
    name: resource.metadata.name,
    own: JSON.stringify(resource.spec.volumeClaimTemplates ?? []),
    selector: resource.spec.selector as { matchLabels?: Record<string, string> } | undefined,
    template: templateOf(resource),
  }));
  for (const { name, own, selector, template } of templates) {
    if (!template) continue;
    expect(template.metadata.labels, name).toMatchObject(selector?.matchLabels ?? {});
    for (const volume of template.spec.volumes ?? []) {
      if (!volume.persistentVolumeClaim) continue;
      expect(claims.map(({ metadata }) => metadata.name)).toContain(volume.persistentVolumeClaim.claimName);
    }
    for (const mount of template.spec.containers.flatMap(({ volumeMounts }) => volumeMounts)) {
      const named = (template.spec.volumes ?? []).some((volume) => volume.name === mount.name);
      expect(named || own.includes(`"name":"${mount.name}"`), mount.name).toBe(true);
    }
  }
  const service = resources.find(({ kind }) => kind === 'Service')!;
  const selected = templates.filter(({ template }) =>
    Object.entries(service.spec.selector ?? {}).every(
      ([key, value]) => template?.metadata.labels[key] === value,
    ),
  );
  expect(selected.map(({ name }) => name)).toEqual(['revenant-redis']);
});

it('runs without privileges what our commands understand', () => {
  expect(pods()).toHaveLength(4);
  for (const { containers, securityContext } of pods()) {
    expect(securityContext).toMatchObject({ runAsNonRoot: true });
    for (const { image, args, securityContext: own } of containers) {
      expect(own).toMatchObject({ allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } });
      // The image has no registry, which depends on the cluster.
      expect(image).toMatch(/^[a-z]+:[\w.-]+$/);
      if (image.startsWith('revenant')) expect(unknownOptions(args)).toEqual([]);
    }
  }
});

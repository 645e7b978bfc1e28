import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';
import revenant from './lint/import-direction.js';

const nodeGlobals = Object.fromEntries(
  [
    'process',
    'console',
    'Buffer',
    'URL',
    'performance',
    'setTimeout',
    'clearTimeout',
    'setInterval',
    'clearInterval',
    'setImmediate',
  ].map((name) => [name, 'readonly']),
);

const browserGlobals = Object.fromEntries(
  [
    ...['document', 'location', 'history', 'navigator', 'matchMedia', 'devicePixelRatio', 'getComputedStyle'],
    ...['requestAnimationFrame', 'ResizeObserver', 'DecompressionStream', 'Blob', 'Response', 'Element'],
    ...['atob', 'TextDecoder'],
  ].map((name) => [name, 'readonly']),
);

export default tseslint.config(
  { ignores: ['build/', 'dist/', 'node_modules/', 'traces/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.js', '**/*.mjs', 'bin/revenant'],
    languageOptions: { globals: nodeGlobals },
  },
  {
    // The report's own script runs in browsers.
    files: ['assets/report/*.js'],
    languageOptions: { globals: browserGlobals },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strict],
    languageOptions: {
      parserOptions: { project: './tsconfig.check.json', tsconfigRootDir: import.meta.dirname },
    },
    plugins: { revenant },
    rules: {
      'revenant/direction': 'error',
      'revenant/no-ambient': 'error',
      'revenant/through-middle': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'max-lines': ['error', { max: 500 }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      'no-console': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },
  {
    // Addresses are made by gva(), offsetBy() and userAddress(), which say what a number is.
    files: ['src/**/*.ts'],
    ignores: ['src/engine/base/**', '**/*.spec.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: "TSAsExpression TSTypeReference > Identifier[name='Gva']",
          message: 'Use gva(), offsetBy() or userAddress() of engine/base/address.ts instead of a cast.',
        },
      ],
    },
  },
  {
    // A describe() block is one function; its tests are short.
    files: ['**/*.spec.ts', 'test/**/*.ts'],
    rules: { 'max-lines-per-function': 'off', 'no-console': 'off' },
  },
);

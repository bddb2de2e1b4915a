/**
 * What Prettier and the compiler do not see: promises that nobody waits for, and imports over the boundaries that the
 * folders' tsconfig.json draw. Type-aware, over one program (tsconfig.lint.json).
 */
// @ts-check
import { readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

const root = import.meta.dirname;
/** @param {string} folder */
const referencesOf = (folder) => {
  const { references } = JSON.parse(readFileSync(join(root, folder, 'tsconfig.json'), 'utf8'));
  return references.map(({ path }) => join(folder, path).split(sep).join('/'));
};
/** @type {string[]} */
const folders = referencesOf('.').filter((folder) => folder !== 'test');
/** What a folder may import, by its tsconfig.json: `#schemas/…`, too, leads to a folder of that name. */
const mayImport = new Map(folders.map((folder) => [folder, new Set([folder, ...referencesOf(folder)])]));

/** @param {string} path from the root */
const folderOf = (path) => folders.find((folder) => path.startsWith(`${folder}/`));

/** @type {import('eslint').Rule.RuleModule} */
const boundaries = {
  meta: { type: 'problem', messages: { outside: '{{from}}/ does not import {{to}}/: see its tsconfig.json' }, schema: [] },
  create(context) {
    const from = folderOf(relative(root, context.filename).split(sep).join('/'));
    if (from === undefined) return {};
    /** @param {any} node */
    const check = ({ source }) => {
      const name = source?.value;
      if (typeof name !== 'string' || !/^[#.]/.test(name)) return;
      const path = name.startsWith('#')
        ? name.slice(1)
        : relative(root, join(dirname(context.filename), name))
            .split(sep)
            .join('/');
      const to = folderOf(path);
      if (to !== undefined && mayImport.get(from)?.has(to) !== true)
        context.report({ node: source, messageId: 'outside', data: { from, to } });
    };
    return { ImportDeclaration: check, ExportNamedDeclaration: check, ExportAllDeclaration: check, ImportExpression: check };
  },
};

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '**/*.mjs', '**/*.js'] },
  tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { project: './tsconfig.lint.json', tsconfigRootDir: root } },
    rules: {
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/prefer-promise-reject-errors': ['error', { allowThrowingUnknown: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      'prefer-const': ['error', { ignoreReadBeforeAssign: true }],
      // A method that a contract wants async rejects and does not throw, whether it waits for something or not.
      '@typescript-eslint/require-await': 'off',
      // It takes `!` away where an operator would take undefined as well: `text += alphabet[i]!`.
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      // Contracts are written with methods; what fulfils them are often closures, which may be passed on.
      '@typescript-eslint/unbound-method': 'off',
      // What was read of JSON is printed as it came.
      '@typescript-eslint/no-base-to-string': 'off',
      // The const enums of libraries cannot be imported under `verbatimModuleSyntax`; their numbers are written.
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      '@typescript-eslint/no-unsafe-enum-comparison': 'off',
      // Which of several objects did something last is remembered outside of them.
      '@typescript-eslint/no-this-alias': 'off',
      // The compiler does: noUnusedLocals, noUnusedParameters.
      '@typescript-eslint/no-unused-vars': 'off',
    },
  },
  {
    // Answers of programs and matchers of vitest are `any`; an assertion says what they should be.
    files: ['**/*.test.ts', '**/*.test.tsx', '**/testing/**', 'test/**', 'bench/**'],
    rules: Object.fromEntries(
      ['argument', 'assignment', 'call', 'member-access', 'return'].map((name) => [`@typescript-eslint/no-unsafe-${name}`, 'off']),
    ),
  },
  {
    plugins: { steno: { rules: { boundaries } } },
    ignores: ['**/*.test.ts', '**/*.test.tsx', '**/testing/**'],
    rules: { 'steno/boundaries': 'error' },
  },
  {
    files: ['viewer/web/**'],
    plugins: { 'react-hooks': hooks },
    rules: { 'react-hooks/rules-of-hooks': 'error', 'react-hooks/exhaustive-deps': 'error' },
  },
);

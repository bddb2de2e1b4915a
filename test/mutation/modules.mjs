/**
 * The modules under mutation testing: those that decide who may do what, and whether a recording is whole. `atLeast` is the
 * percentage of mutants that their tests must notice; CONTRIBUTING.md has the dates. Raise it with a test, never lower it.
 */
// @ts-check

/**
 * @typedef {object} Module
 * @property {string} name
 * @property {readonly string[]} mutate patterns of sources; tests among them are left out
 * @property {readonly string[]} tests patterns of the tests that must notice
 * @property {number} atLeast 0: not measured yet
 */

/** @type {readonly Module[]} */
export const modules = [
  {
    name: 'certificates',
    mutate: ['schemas/ssh/{admission,certificate,public-key,signature,source-address,wire}.ts'],
    tests: ['schemas/ssh/*.test.ts'],
    atLeast: 77,
  },
  {
    name: 'chain',
    mutate: ['schemas/recording/{chain,checkpoint-check,proof,verify}.ts'],
    tests: ['schemas/recording/*.test.ts'],
    atLeast: 76,
  },
  {
    name: 'parts',
    mutate: ['schemas/recording/{block,container-check,event-log-check,part-walk}.ts'],
    tests: ['schemas/recording/*.test.ts'],
    atLeast: 0,
  },
  {
    name: 'policy',
    mutate: ['schemas/policy/{administration,node,request,session}.ts'],
    tests: ['schemas/policy/*.test.ts'],
    atLeast: 81,
  },
  {
    name: 'destinations',
    mutate: ['schemas/policy/{destination,forwarding,kubernetes}.ts'],
    tests: ['schemas/policy/*.test.ts'],
    atLeast: 0,
  },
  {
    name: 'power',
    mutate: ['schemas/policy/power/*.ts'],
    tests: ['schemas/policy/power/*.test.ts'],
    atLeast: 0,
  },
  {
    name: 'strangers',
    mutate: ['runtime/http/stranger-*.ts'],
    tests: ['runtime/http/stranger-*.test.ts'],
    atLeast: 0,
  },
  {
    name: 'object keys',
    mutate: ['stores/objects/contract.ts'],
    tests: ['stores/objects/contract.test.ts'],
    atLeast: 95,
  },
];

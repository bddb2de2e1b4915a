/**
 * Files whose reading matters to an investigator: shown by default, while reading other files is not. An aid, not a boundary: it
 * depends on the path that the kernel resolved. Tested in matters.test.ts.
 */
const matterKinds = ['credentials', 'keys', 'secrets', 'configuration'] as const;
export type MatterKind = (typeof matterKinds)[number];

const patterns: readonly (readonly [MatterKind, RegExp])[] = [
  [
    'credentials',
    /^\/etc\/(shadow|gshadow|security\/opasswd)-?$|\/\.(netrc|pgpass|my\.cnf|git-credentials|vault-token|s3cfg|npmrc|pypirc)$/,
  ],
  [
    'credentials',
    /\/\.(aws\/(credentials|sso\/cache\/.+|cli\/cache\/.+)|azure\/.*tokens?.*|config\/gcloud\/.*(credentials|tokens?).*|docker\/config\.json|kube\/(config|cache\/oidc.*)|config\/gh\/hosts\.yml|terraform\.d\/credentials\.tfrc\.json)$/,
  ],
  [
    'credentials',
    /^\/etc\/kubernetes\/.+\.conf$|^\/etc\/rancher\/.+\.yaml$|^\/proc\/\d+\/environ$|\.keytab$|^\/(tmp|var\/lib\/sss\/db)\/(krb5cc_.+|cache_.+\.ldb)$/,
  ],
  [
    'keys',
    /\/\.ssh\/(?!.*\.pub$)(id_[^/]+|identity)$|^\/etc\/ssh\/ssh_host_[^/]+_key$|^\/etc\/ssl\/private\/.+|\/letsencrypt\/.*privkey[^/]*\.pem$|\/\.gnupg\/(private-keys-v1\.d\/.+|secring\.gpg)$|^\/etc\/kubernetes\/pki\/.+\.key$|^\/etc\/(wireguard\/.+\.conf|luks-keys\/.+)$|\.(key|p12|pfx|jks|kdbx)$/,
  ],
  ['secrets', /^\/(var\/)?run\/secrets\/.+|\/volumes\/kubernetes\.io~(secret|projected)\/.+/],
  ['configuration', /^\/etc\/(sudoers|sudoers\.d\/.+|ssh\/sshd_config(\.d\/.+)?|doas\.conf|polkit-1\/rules\.d\/.+)$/],
];

/** `reason` of an `open` that changes nothing: its modes, then properties of its path. Two expressions, because RE2 has no look-ahead. */
export const READING = { begins: '^(read|path)', without: ',(write|create|exclusive|truncate|append|temporary)' } as const;
const [reading, changing] = [new RegExp(READING.begins), new RegExp(READING.without)];
export function isReading(reason: string): boolean {
  return reading.test(reason) && !changing.test(reason);
}

/** Folders of the system's programs and libraries. Every program maps some of them as code, so that is not noteworthy. Valid in RE2 too. */
export const LIBRARIES = '^/(usr/(local/)?)?lib(32|64|x32)?/|^/(usr/)?s?bin/';

/** Why a file matters to an investigator; null if it is not known to. */
export function matterOf(path: string): MatterKind | null {
  return patterns.find(([, pattern]) => pattern.test(path))?.[0] ?? null;
}

/** The public parts of the CAs in the form that logins return. */
import type { TrustReport } from '#schemas/api/services/ca.js';
import type { CaTrust } from '#schemas/snapshot.js';

export function trustReport(trust: CaTrust, cluster: string): TrustReport {
  return {
    cluster,
    ssh_host_ca: trust.ssh_host_ca,
    ssh_user_ca: trust.ssh_user_ca,
    recording_ca: [...trust.recording_ca, ...trust.recording_ca_retired],
    service_ca_pem: trust.service_ca.join(''),
    x509_user_ca_pem: trust.x509_user_ca.join(''),
  };
}

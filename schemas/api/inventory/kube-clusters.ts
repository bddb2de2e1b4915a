/** Kubernetes clusters: `steno kube`. */
import { z } from 'zod';
import { kubeClusterName, kubeClusterRecord, kubeUpstream } from '../../kube/kube-cluster.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';

const params = z.strictObject({ name: kubeClusterName });

const kubeClusterList = z
  .strictObject({
    /** `host:port` at which users reach a gateway's Kubernetes listener; null: no gateway has one. */
    gateway: z.string().nullable(),
    clusters: z.array(kubeClusterRecord).readonly(),
  })
  .readonly();

export const listKubeClusters = endpoint({
  method: 'GET',
  path: '/v1/kube-clusters',
  summary: "List the Kubernetes clusters that the caller's roles let them use; all of them for who administers everything.",
  admits: ['user'],
  event: 'kube_cluster.list',
  params: noParams,
  body: noBody,
  answer: kubeClusterList,
  errors: [],
});

export const putKubeCluster = endpoint({
  method: 'PUT',
  path: '/v1/kube-clusters/:name',
  summary: 'Register a Kubernetes cluster, or replace how it is reached.',
  admits: ['administer'],
  event: 'kube_cluster.put',
  params,
  body: z.strictObject({ labels: kubeClusterRecord.unwrap().shape.labels, upstream: kubeUpstream }),
  answer: kubeClusterRecord,
  errors: ['TOO_MANY'],
});

export const deleteKubeCluster = endpoint({
  method: 'DELETE',
  path: '/v1/kube-clusters/:name',
  summary: 'Forget a Kubernetes cluster and the credential for it; what runs through gateways ends.',
  admits: ['administer'],
  event: 'kube_cluster.delete',
  params,
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const readKubeUpstream = endpoint({
  method: 'GET',
  path: '/v1/kube-clusters/:name/upstream',
  summary: 'How a gateway reaches a Kubernetes cluster, with the credential.',
  admits: ['gateway'],
  event: 'kube_cluster.upstream',
  params,
  body: noBody,
  answer: z.strictObject({ revision: z.int(), upstream: kubeUpstream }).readonly(),
  errors: ['NOT_FOUND'],
});

export const kubeClusterEndpoints = [listKubeClusters, putKubeCluster, deleteKubeCluster, readKubeUpstream] as const;

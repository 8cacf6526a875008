#!/bin/sh
# Deletes from a namespace the leases that nobody has, or that have not been renewed for an
# hour, but for those with a note: what is left of slots, and of replicas of a Shard. Each
# deletion names the version that was looked at, so that a lease which is taken meanwhile
# stays. It needs jq, and kubectl with the right to list and delete leases.
#
#	clean.sh NAMESPACE
set -eu
kubectl get leases.coordination.k8s.io --namespace "$1" --selector app.kubernetes.io/managed-by=taskvisor --output json |
	jq --compact-output '.items[]
		| select(.metadata.annotations["taskvisor.github.io/note"] == null)
		| select(.spec.holderIdentity == null or .spec.renewTime < (now - 3600 | todate))
		| .metadata | [.name, {apiVersion: "v1", kind: "DeleteOptions", preconditions: {uid, resourceVersion}}]' |
	while read -r lease; do
		name=$(echo "$lease" | jq --raw-output '.[0]')
		if echo "$lease" | jq '.[1]' |
			kubectl delete --raw "/apis/coordination.k8s.io/v1/namespaces/$1/leases/$name" --filename - >/dev/null; then
			echo "deleted $name"
		else
			echo "kept $name"
		fi
	done

{{- /* The rules of files/rights.yaml for one role: everywhere (cluster-scoped objects) or not. */ -}}
{{- define "canary.rules" -}}
{{- $values := .root.Values -}}
{{- range .root.Files.Get "files/rights.yaml" | fromYamlArray -}}
{{- $wanted := eq (default false .everywhere) $.everywhere -}}
{{- range .only -}}{{- $wanted = and $wanted (index $values .) -}}{{- end -}}
{{- if $wanted }}
# {{ .why }}
- apiGroups: {{ toJson .apiGroups }}
  resources: {{ toJson .resources }}
  {{- if .resourceNames }}
  resourceNames: {{ toJson .resourceNames }}
  {{- else if and (has "namespaces" .resources) $values.namespaces }}
  resourceNames: {{ toJson $values.namespaces }}
  {{- end }}
  verbs: {{ toJson .verbs }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "canary.subject" -}}
- kind: ServiceAccount
  name: {{ include "canary.account" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

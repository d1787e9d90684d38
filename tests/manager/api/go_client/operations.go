package main

import (
	"bufio"
	"context"
	"os"

	"podsonar.invalid/tests/manager/api/go_client/discovery"
)

// useAgent makes an agent, uses it, and deletes it; parameters of equal fields convert into each other.
func useAgent(client *discovery.ClientWithResponses, ctx context.Context) {
	config := discovery.DatabaseAgentConfiguration{Data: discovery.DatabaseDataCollectionConfiguration{
		CollectionWindowInMin: of(1), EnableNodeAgent: of(true),
		Cron: &discovery.DatabaseCronConfig{Expression: of("15 * * * *")}}}
	called(client.CreateAgentWithResponse(ctx,
		&discovery.CreateAgentParams{AccountIdentifier: account, OrganizationIdentifier: &organization, ProjectIdentifier: &project},
		discovery.ApiCreateAgentRequest{Config: config, EnvironmentIdentifier: environment, InfraIdentifier: agent, Name: "in Go"}))
	called(client.ListAgentWithResponse(ctx, &page))
	called(client.GetAgentWithResponse(ctx, agent, &tenant))
	called(client.UpdateAgentWithResponse(ctx, agent,
		of(discovery.UpdateAgentParams(tenant)), discovery.ApiUpdateAgentRequest{Config: config, Name: "renamed"}))
	called(client.GetAgentTokenWithResponse(ctx, agent, of(discovery.GetAgentTokenParams(tenant))))
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		panic(err)
	}
	useSettings(client, ctx)
	useInstallations(client, ctx)
	listKinds(client, ctx)
	useMaps(client, ctx, readServices(client, ctx))
	called(client.DeleteAgentWithResponse(ctx, agent, of(discovery.DeleteAgentParams(tenant))))
	called(client.ListAgentWithResponse(ctx, &page))
}

// useSettings saves, reads and resets the image registry, and lists the infrastructure of agents.
func useSettings(client *discovery.ClientWithResponses, ctx context.Context) {
	registry := discovery.ServiceImageRegistrySetting{Account: of("acme"), Server: of("registry.example"), Secrets: &[]string{"pull"}}
	called(client.SaveSettingWithResponse(ctx,
		of(discovery.SaveSettingParams(setting)), discovery.ServiceSaveSettingRequest{ImageRegistry: &registry}))
	called(client.GetSettingWithResponse(ctx, &setting))
	called(client.ResetImageRegistrySettingWithResponse(ctx, of(discovery.ResetImageRegistrySettingParams(setting)), discovery.ServiceEmpty{}))
	called(client.ListInfrastructureWithResponse(ctx, &infrastructures))
	called(client.GetInfrastructureForAgentWithResponse(ctx, agent, of(discovery.GetInfrastructureForAgentParams(tenant))))
}

// useInstallations makes one more installation, reads it and stops it.
func useInstallations(client *discovery.ClientWithResponses, ctx context.Context) {
	made := called(client.CreateInstallationWithResponse(ctx, agent,
		of(discovery.CreateInstallationParams(tenant)), discovery.ApiCreateInstallationRequest{})).JSON201
	called(client.ListInstallationWithResponse(ctx, agent, &installations))
	called(client.GetInstallationWithResponse(ctx, agent, made.Id, of(discovery.GetInstallationParams(tenant))))
	called(client.StopOngoingDiscoveryWithResponse(ctx, agent, made.Id, of(discovery.StopOngoingDiscoveryParams(tenant))))
}

// listKinds reads every list of Kubernetes objects, and what belongs to one pod.
func listKinds(client *discovery.ClientWithResponses, ctx context.Context) {
	called(client.ListNamespaceWithResponse(ctx, agent, of(discovery.ListNamespaceParams(ofCluster))))
	called(client.ListNodeWithResponse(ctx, agent, &ofCluster))
	called(client.ListCronjobWithResponse(ctx, agent, of(discovery.ListCronjobParams(ofNamespace))))
	called(client.ListDeamonsetWithResponse(ctx, agent, of(discovery.ListDeamonsetParams(ofNamespace))))
	called(client.ListDeploymentWithResponse(ctx, agent, of(discovery.ListDeploymentParams(ofNamespace))))
	called(client.ListJobWithResponse(ctx, agent, of(discovery.ListJobParams(ofNamespace))))
	called(client.ListReplicaSetWithResponse(ctx, agent, of(discovery.ListReplicaSetParams(ofNamespace))))
	called(client.ListReplicationControllerWithResponse(ctx, agent, of(discovery.ListReplicationControllerParams(ofNamespace))))
	called(client.ListServiceWithResponse(ctx, agent, of(discovery.ListServiceParams(ofNamespace))))
	called(client.ListStatefulSetWithResponse(ctx, agent, of(discovery.ListStatefulSetParams(ofNamespace))))
	pods := called(client.ListPodWithResponse(ctx, agent, &ofNamespace)).JSON200
	pod := (*pods.Items)[0].Uid
	called(client.ListConnectionOfAPodWithResponse(ctx, agent, pod, of(discovery.ListConnectionOfAPodParams(tenant))))
	called(client.ListContainerOfAPodWithResponse(ctx, agent, pod, of(discovery.ListContainerOfAPodParams(tenant))))
	called(client.ListPVCOfAPodWithResponse(ctx, agent, pod, of(discovery.ListPVCOfAPodParams(tenant))))
}

// readServices returns the discovered services, after it has read what is behind the one named `cart`.
func readServices(client *discovery.ClientWithResponses, ctx context.Context) []discovery.DatabaseNetworkMapEntity {
	var entities []discovery.DatabaseNetworkMapEntity
	found := called(client.ListDiscoveredServiceWithResponse(ctx, agent, &services)).JSON200
	for _, one := range *found.Items {
		entities = append(entities, discovery.DatabaseNetworkMapEntity{Id: one.Id, Kind: "DiscoveredService", Name: one.Name})
		if one.Name != "cart" {
			continue
		}
		workload := (*one.Spec.Kubernetes.Workloads)[0]
		owner, pod := *workload.Identity.Uid, *(*workload.Replicas)[0].Identity.Uid
		called(client.GetDiscoveredServiceWithResponse(ctx, agent, one.Id,
			of(discovery.GetDiscoveredServiceParams(tenant))))
		called(client.GetServiceForDiscoveredServiceWithResponse(ctx, agent, one.Id, of(discovery.GetServiceForDiscoveredServiceParams(tenant))))
		called(client.ListPodForDiscoveredServiceWithResponse(ctx, agent, one.Id, owner, of(discovery.ListPodForDiscoveredServiceParams(tenant))))
		called(client.GetPodForDiscoveredServiceWithResponse(ctx, agent, one.Id, owner, pod, of(discovery.GetPodForDiscoveredServiceParams(tenant))))
	}
	called(client.ListConnectionWithResponse(ctx, agent, of(discovery.ListConnectionParams(tenant))))
	called(client.ListDiscoveredServiceConnectionWithResponse(ctx, agent, of(discovery.ListDiscoveredServiceConnectionParams(tenant))))
	return entities
}

// useMaps makes, groups, saves, reads, changes and deletes maps in both spellings of their collection.
func useMaps(client *discovery.ClientWithResponses, ctx context.Context, entities []discovery.DatabaseNetworkMapEntity) {
	wanted := func(identity string) discovery.ApiCreateNetworkMapRequest {
		return discovery.ApiCreateNetworkMapRequest{Identity: identity, Name: "map " + identity, Resources: entities}
	}
	change := discovery.ApiUpdateNetworkMapRequest{Resources: entities[:2]}
	grouped := wanted("grouped")
	grouped.Rules = &discovery.DatabaseNetworkMapRules{Namespace: &discovery.DatabaseNetworkMapRuleNamespace{Name: of("shop")}}
	called(client.CreateNetworkMapWithResponse(ctx, agent,
		of(discovery.CreateNetworkMapParams(tenant)), wanted("network")))
	called(client.CreateApplicationMapWithResponse(ctx, agent,
		of(discovery.CreateApplicationMapParams(tenant)), wanted("application")))
	called(client.NetworkMapAutoGroupWithResponse(ctx, agent,
		of(discovery.NetworkMapAutoGroupParams(tenant)), grouped))
	called(client.ApplicationMapAutoGroupWithResponse(ctx, agent,
		of(discovery.ApplicationMapAutoGroupParams(tenant)), grouped))
	called(client.SaveNetworkMapWithResponse(ctx, agent,
		of(discovery.SaveNetworkMapParams(tenant)), discovery.ApiSaveNetworkMapRequest(wanted("network"))))
	called(client.SaveApplicationMapWithResponse(ctx, agent,
		of(discovery.SaveApplicationMapParams(tenant)), discovery.ApiSaveNetworkMapRequest(wanted("application"))))
	called(client.ListNetworkMapWithResponse(ctx, agent, of(discovery.ListNetworkMapParams(page))))
	called(client.ListApplicationMapWithResponse(ctx, agent, of(discovery.ListApplicationMapParams(page))))
	called(client.GetNetworkMapWithResponse(ctx, agent, "network",
		of(discovery.GetNetworkMapParams(tenant))))
	called(client.GetApplicationMapWithResponse(ctx, agent, "network",
		of(discovery.GetApplicationMapParams(tenant))))
	called(client.ListDiscoveredServiceForANetworkMapWithResponse(ctx, agent, "network", &ofMap))
	called(client.ListDiscoveredServiceForApplicationMapWithResponse(ctx, agent, "application", of(discovery.ListDiscoveredServiceForApplicationMapParams(ofMap))))
	called(client.UpdateNetworkMapWithResponse(ctx, agent, "network",
		of(discovery.UpdateNetworkMapParams(tenant)), change))
	called(client.UpdateApplicationMapWithResponse(ctx, agent,
		"application", of(discovery.UpdateApplicationMapParams(tenant)), change))
	called(client.RemoveStaleServicesFromApplicationMapWithResponse(ctx, agent, "application",
		of(discovery.RemoveStaleServicesFromApplicationMapParams(tenant)), discovery.ApiEmpty{}))
	called(client.DeleteNetworkMapWithResponse(ctx, agent, "network",
		of(discovery.DeleteNetworkMapParams(tenant))))
	called(client.DeleteApplicationMapWithResponse(ctx, agent,
		"application", of(discovery.DeleteApplicationMapParams(tenant))))
}

// devices: a device plugin and a DRA driver for devices that are nothing but names, on the node it runs on.
//
//	devices <resource> <driver> <device...>
package main

import (
	"context"
	"log"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	plugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	dra "k8s.io/kubelet/pkg/apis/dra/v1"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const kubelet = "/var/lib/kubelet"

// devicePlugin offers its devices, and gives containers nothing.
type devicePlugin struct {
	plugin.UnimplementedDevicePluginServer
	names []string
}

func (p *devicePlugin) GetDevicePluginOptions(context.Context, *plugin.Empty) (*plugin.DevicePluginOptions, error) {
	return &plugin.DevicePluginOptions{}, nil
}

func (p *devicePlugin) ListAndWatch(_ *plugin.Empty, stream plugin.DevicePlugin_ListAndWatchServer) error {
	list := &plugin.ListAndWatchResponse{}
	for _, name := range p.names {
		list.Devices = append(list.Devices, &plugin.Device{ID: name, Health: plugin.Healthy})
	}
	if err := stream.Send(list); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (p *devicePlugin) Allocate(_ context.Context, request *plugin.AllocateRequest) (*plugin.AllocateResponse, error) {
	answer := &plugin.AllocateResponse{}
	for range request.ContainerRequests {
		answer.ContainerResponses = append(answer.ContainerResponses, &plugin.ContainerAllocateResponse{})
	}
	return answer, nil
}

// driver prepares every claim, which is nothing to be done.
type driver struct {
	dra.UnimplementedDRAPluginServer
	registration.UnimplementedRegistrationServer
	name, socket string
}

func (d *driver) NodePrepareResources(_ context.Context, request *dra.NodePrepareResourcesRequest) (*dra.NodePrepareResourcesResponse, error) {
	answer := &dra.NodePrepareResourcesResponse{Claims: map[string]*dra.NodePrepareResourceResponse{}}
	for _, claim := range request.Claims {
		answer.Claims[claim.Uid] = &dra.NodePrepareResourceResponse{}
	}
	return answer, nil
}

func (d *driver) NodeUnprepareResources(_ context.Context, request *dra.NodeUnprepareResourcesRequest) (*dra.NodeUnprepareResourcesResponse, error) {
	answer := &dra.NodeUnprepareResourcesResponse{Claims: map[string]*dra.NodeUnprepareResourceResponse{}}
	for _, claim := range request.Claims {
		answer.Claims[claim.Uid] = &dra.NodeUnprepareResourceResponse{}
	}
	return answer, nil
}

func (d *driver) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.DRAPlugin, Name: d.name, Endpoint: d.socket, SupportedVersions: []string{dra.DRAPluginService},
	}, nil
}

func (d *driver) NotifyRegistrationStatus(_ context.Context, status *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	log.Printf("driver %s: registered %v %s", d.name, status.PluginRegistered, status.Error)
	return &registration.RegistrationStatusResponse{}, nil
}

// serve answers on a socket that it makes anew.
func serve(socket string, register func(*grpc.Server)) {
	must(os.MkdirAll(filepath.Dir(socket), 0o755))
	must(os.RemoveAll(socket))
	listener, err := net.Listen("unix", socket)
	must(err)
	server := grpc.NewServer()
	register(server)
	go func() { must(server.Serve(listener)) }()
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	resource, name, names := os.Args[1], os.Args[2], os.Args[3:]
	serve(filepath.Join(plugin.DevicePluginPath, "devices.sock"), func(server *grpc.Server) {
		plugin.RegisterDevicePluginServer(server, &devicePlugin{names: names})
	})
	connection, err := grpc.NewClient("unix://"+plugin.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	_, err = plugin.NewRegistrationClient(connection).Register(context.Background(), &plugin.RegisterRequest{
		Version: plugin.Version, Endpoint: "devices.sock", ResourceName: resource, Options: &plugin.DevicePluginOptions{},
	})
	must(err)
	log.Printf("device plugin of %s: registered", resource)

	d := &driver{name: name, socket: filepath.Join(kubelet, "plugins", name, "dra.sock")}
	serve(d.socket, func(server *grpc.Server) { dra.RegisterDRAPluginServer(server, d) })
	serve(filepath.Join(kubelet, "plugins_registry", name+"-reg.sock"), func(server *grpc.Server) {
		registration.RegisterRegistrationServer(server, d)
	})
	select {}
}

// Command etcd is etcd's own main, under a name by which several programs of one build can be told apart.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}

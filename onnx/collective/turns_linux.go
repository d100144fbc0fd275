package collective

import (
	"net"
	"sync"
	"syscall"
)

// turns has connections looked at one after the other, in the order in which something came: a
// launcher ends the other ranks so soon after the first that goroutines which wait for each of them
// would find them dead in any order. epoll lists what came first first.
type turns struct {
	mu      sync.Mutex
	epoll   int
	opened  bool
	waiting map[int32]chan func() // by descriptor
}

// await waits until it is a connection's turn to be read; what is returned ends the turn.
// Where the system refuses, all may read at once.
func (t *turns) await(c net.Conn) (done func()) {
	none := func() {}
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil || !t.open() {
		return none
	}
	turn := make(chan func(), 1)
	var added error
	err = raw.Control(func(fd uintptr) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.waiting[int32(fd)] = turn
		added = syscall.EpollCtl(t.epoll, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLONESHOT, Fd: int32(fd)})
	})
	if err != nil || added != nil {
		return none
	}
	return <-turn
}

func (t *turns) open() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.opened {
		epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
		if err != nil {
			return false
		}
		t.epoll, t.opened, t.waiting = epoll, true, map[int32]chan func(){}
		go t.hand(epoll)
	}
	return true
}

// hand gives out turns as long as the process lives, which has ranks started once.
func (t *turns) hand(epoll int) {
	var event [1]syscall.EpollEvent
	for {
		n, err := syscall.EpollWait(epoll, event[:], -1)
		if err == syscall.EINTR || err == nil && n == 0 {
			continue
		}
		if err != nil {
			return
		}
		t.mu.Lock()
		turn := t.waiting[event[0].Fd]
		delete(t.waiting, event[0].Fd)
		t.mu.Unlock()
		if turn == nil {
			continue
		}
		over := make(chan struct{})
		turn <- sync.OnceFunc(func() { close(over) })
		<-over
	}
}
